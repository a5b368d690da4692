// "bound": a pybind11 module. Importing it enters Python by PyGILState_Ensure with the GIL held.
#include <pybind11/pybind11.h>

namespace py = pybind11;

// Calls the function back from a block without the GIL.
static py::object call_back(const py::function &function) {
    py::gil_scoped_release release;
    py::gil_scoped_acquire acquire;
    return function();
}

PYBIND11_MODULE(bound, m) {
    m.def("call_back", &call_back);
}
