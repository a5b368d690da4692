#include "cpython/own_layout.h"

#include "cpython/interp.h"
#include "cpython/real.h"

bool own_layout_find(struct layout *layout) {
    int major, minor;
    bool is_found =
        interp_version(&major, &minor) &&
        layout_find(major, minor, interp_is_free_threaded && interp_is_debug, interp_is_free_threaded, layout);
    return is_found && (major < 3 || minor < 13 ||
                        layout_read_offsets((uintptr_t)real._PyRuntime, minor, interp_is_free_threaded, layout));
}
