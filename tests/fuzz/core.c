/* Damaged and cut core files, given to gilshim-inspect as it is, under ASan and UBSan: it explains them or says in one line
   why it can't, and ends soon.
   usage: core FIRST COUNT CORE...   the last line is `N passed, N failed, 0 skipped` */
#define main inspect_main
#include "inspect/inspect.c" // NOLINT(bugprone-suspicious-include)
#undef main

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "mutate.h"

enum { SEGMENTS = 65536, SECONDS = 30 };

/* gilshim-inspect's own handlers would hide what it does wrong, and 1 is a status of its own. */
const char *__asan_default_options(void); // NOLINT(bugprone-reserved-identifier)
const char *__asan_default_options(void) {
    return "handle_segv=2:handle_sigbus=2:handle_abort=1:detect_leaks=0:exitcode=99:abort_on_error=0";
}

static struct segment {
    size_t offset, size;
    bool is_note;
} segments[SEGMENTS];
static size_t segment_count;

static void list_segments(const uint8_t *bytes, size_t size) {
    const Elf64_Ehdr *header = (const void *)bytes;
    const Elf64_Phdr *programs = (const void *)(bytes + header->e_phoff);
    segment_count = 0;
    for (unsigned i = 0; i < header->e_phnum && segment_count < SEGMENTS; i++)
        if (programs[i].p_filesz && programs[i].p_offset + programs[i].p_filesz <= size)
            segments[segment_count++] =
                (struct segment){programs[i].p_offset, programs[i].p_filesz, programs[i].p_type == PT_NOTE};
}

/* Words of memory that are pointers are what leads astray: they are exchanged, and moved a little. */
static void damage_memory(const struct mutate_object *core, uint8_t *bytes, uint64_t *seed) {
    uint64_t count = 1ull << mutate_random(seed) % 15;
    while (count--) {
        const struct segment *from = &segments[mutate_random(seed) % segment_count];
        const struct segment *to = &segments[mutate_random(seed) % segment_count];
        uint64_t value;
        if (from->size < sizeof value || to->size < sizeof value)
            continue;
        memcpy(&value, core->bytes + from->offset + mutate_random(seed) % (from->size / 8) * 8, sizeof value);
        value = mutate_random(seed) % 2 ? value : mutate_value(core, value, seed);
        memcpy(bytes + to->offset + mutate_random(seed) % (to->size / 8) * 8, &value, sizeof value);
    }
}

/* Returns how much of the copy is left. */
static size_t damage(const struct mutate_object *core, uint8_t *bytes, uint64_t seed) {
    uint64_t kind = mutate_random(&seed) % 8;
    if (kind < 5)
        mutate(core, bytes, seed);
    else
        memcpy(bytes, core->bytes, core->size);
    if (kind >= 4)
        damage_memory(core, bytes, &seed);
    return mutate_random(&seed) % 6 ? core->size : mutate_random(&seed) % core->size;
}

/* The exit status; 128 and more: it died. */
static int look(const char *name, int said, bool is_json, bool is_alone) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {SECONDS, SECONDS};
        char path[64];
        char *words[] = {(char *)"inspect", (char *)"--core", path, NULL, NULL, NULL, NULL};
        int count = 3;
        setrlimit(RLIMIT_CPU, &limit);
        snprintf(path, sizeof path, "%s", name);
        if (is_json)
            words[count++] = (char *)"-j";
        if (is_alone) { /* without files: what the core file has of objects is all */
            words[count++] = (char *)"--root";
            words[count++] = (char *)"/nowhere";
        }
        dup2(said, 1);
        dup2(said, 2);
        exit(inspect_main(count, words));
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void show(int said, const char *what) {
    char text[4000];
    ssize_t size = pread(said, text, sizeof text, 0);
    printf("%s\n%.*s\n", what, (int)(size > 0 ? size : 0), text);
}

int main(int argc, char **argv) {
    unsigned long count = argc > 3 ? strtoul(argv[2], NULL, 10) : 0, statuses[256] = {0}, failed = 0;
    uint64_t first = argc > 3 ? strtoull(argv[1], NULL, 10) : 0;
    for (unsigned long i = 0; i < count; i++) {
        char name[64], what[200];
        const char *path = argv[3 + i % (unsigned long)(argc - 3)];
        int fd = open(path, O_RDONLY), copy = memfd_create("core", 0), said = memfd_create("said", 0);
        struct stat status;
        if (fd < 0 || copy < 0 || said < 0 || fstat(fd, &status) || ftruncate(copy, status.st_size)) {
            perror(path);
            return 2;
        }
        size_t size = (size_t)status.st_size;
        uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        uint8_t *damaged = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0);
        const Elf64_Ehdr *header = (const void *)bytes;
        struct mutate_object core = {.bytes = bytes, .size = size};
        list_segments(bytes, size);
        mutate_add_region(&core, 0, sizeof *header);
        mutate_add_region(&core, header->e_phoff, (size_t)header->e_phnum * sizeof(Elf64_Phdr));
        for (size_t s = 0; s < segment_count; s++)
            if (segments[s].is_note)
                mutate_add_region(&core, segments[s].offset, segments[s].size);
        size_t left = damage(&core, damaged, first + i);
        munmap(damaged, size);
        munmap(bytes, size);
        if (ftruncate(copy, (off_t)left))
            return 2;
        snprintf(name, sizeof name, "/proc/self/fd/%d", copy);
        int result = look(name, said, i % 2, i / 2 % 2);
        statuses[result & 255]++;
        if (result != STATUS_EXPLAINED && result != STATUS_NOTHING && result != STATUS_FAILED) {
            failed++;
            snprintf(what, sizeof what, "not ok - core file of seed %llu: status %d", (unsigned long long)(first + i),
                     result);
            show(said, what);
        }
        close(fd);
        close(copy);
        close(said);
    }
    printf("# explained %lu, nothing %lu, refused %lu\n", statuses[STATUS_EXPLAINED], statuses[STATUS_NOTHING],
           statuses[STATUS_FAILED]);
    printf("%lu passed, %lu failed, 0 skipped\n", count - failed, failed);
    return failed ? 1 : 0;
}
