/* Damaged and cut core files, given to gilshim-inspect as it is, under ASan and UBSan: it explains them or says in one line
   why it can't, and ends soon. What it says does nothing to a terminal, and its JSON is JSON.
   usage: core FIRST COUNT CORE...   the last line is `N passed, N failed, 0 skipped`

          core --pid PID           looks at a process, under the sanitizers

   Half of the damage is done to what it reads of the undamaged core file, and some to the program that it is given with it. */
#define main inspect_main
#include "inspect/inspect.c" // NOLINT(bugprone-suspicious-include)
#undef main

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "inspect/core_image.h"
#include "mutate.h"

enum { SEGMENTS = 65536, READS = 1 << 18, SECONDS = 30, SLOW_S = 20, MEMORY_MAX_KB = 2 << 20 };

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

/* ---- what is read of it ------------------------------------------------------------------------------------------ */

/* Of the undamaged core file: shared with the processes that read it. */
static struct reads {
    size_t count;
    struct {
        size_t offset, size;
    } all[READS];
} * reads;
static bool is_noting;

size_t __real_core_image_read(const struct core_image *core, uintptr_t address, void *to, size_t size);
size_t __wrap_core_image_read(const struct core_image *core, uintptr_t address, void *to, size_t size);

size_t __wrap_core_image_read(const struct core_image *core, uintptr_t address, void *to, size_t size) {
    const struct core_segment *segment = is_noting ? core_image_segment(core, address) : NULL;
    if (segment && address - segment->start < segment->stored && reads->count < READS) {
        size_t inside = address - segment->start;
        reads->all[reads->count].offset = (size_t)(segment->bytes - core->bytes) + inside;
        reads->all[reads->count++].size = size < segment->stored - inside ? size : segment->stored - inside;
    }
    return __real_core_image_read(core, address, to, size);
}

/* Lists point back to themselves, lengths are huge, and names do something to a terminal. */
static void damage_reads(const struct mutate_object *core, uint8_t *bytes, uint64_t *seed) {
    static const char *const words[] = {"\033[1;31mA",   "\033]0;t\007", "\302\2331mA",
                                        "\233\1m\n\r\"", "\\\"},{\"",    "\xed\xa0\x80\xff"};
    for (uint64_t left = 1ull << mutate_random(seed) % 6; left && reads->count; left--) {
        size_t one = mutate_random(seed) % reads->count, other = mutate_random(seed) % reads->count;
        size_t words_there = reads->all[one].size / 8, at = reads->all[one].offset;
        uint64_t value = 0, kind = mutate_random(seed) % 8;
        if (!words_there)
            continue;
        at += mutate_random(seed) % words_there * 8;
        memcpy(&value, core->bytes + at, sizeof value);
        if (kind == 0) {
            const char *word = words[mutate_random(seed) % (sizeof words / sizeof words[0])];
            size_t length = strlen(word), room = reads->all[one].offset + reads->all[one].size - at;
            memcpy(bytes + at, word, length < room ? length : room);
            continue;
        }
        if (kind < 4 && reads->all[other].size >= 8)
            memcpy(&value,
                   core->bytes + reads->all[other].offset + mutate_random(seed) % (reads->all[other].size / 8) * 8,
                   sizeof value);
        else
            value = mutate_value(core, value, seed);
        memcpy(bytes + at, &value, kind == 4 ? 1 : kind == 5 ? 4 : 8);
    }
}

/* Returns how much of the copy is left. */
static size_t damage(const struct mutate_object *core, uint8_t *bytes, uint64_t seed) {
    uint64_t kind = mutate_random(&seed) % 16;
    if (kind < 5)
        mutate(core, bytes, seed);
    else
        memcpy(bytes, core->bytes, core->size);
    if (kind >= 4 && kind < 8)
        damage_memory(core, bytes, &seed);
    if (kind >= 7)
        damage_reads(core, bytes, &seed);
    return mutate_random(&seed) % 6 || kind >= 8 ? core->size : mutate_random(&seed) % core->size;
}

/* ---- the program -------------------------------------------------------------------------------------------------- */

/* Its tables, wherever they are. */
static void list_tables(struct mutate_object *program, const uint8_t *bytes, size_t size) {
    const Elf64_Ehdr *header = (const void *)bytes;
    const Elf64_Shdr *sections = (const void *)(bytes + header->e_shoff);
    *program = (struct mutate_object){.bytes = bytes, .size = size};
    mutate_add_region(program, header->e_shoff, (size_t)header->e_shnum * sizeof *sections);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const char *name = (const char *)bytes + sections[header->e_shstrndx].sh_offset + sections[i].sh_name;
        unsigned type = sections[i].sh_type;
        if (type == SHT_DYNSYM || type == SHT_SYMTAB || type == SHT_GNU_HASH || type == SHT_STRTAB ||
            type == SHT_DYNAMIC || strncmp(name, ".eh_frame", 9) == 0)
            mutate_add_region(program, sections[i].sh_offset, sections[i].sh_size);
    }
}

static int damaged_program(const char *path, uint64_t seed) {
    struct stat status;
    struct mutate_object program;
    int fd = open(path, O_RDONLY), copy = memfd_create("program", 0);
    if (fd < 0 || copy < 0 || fstat(fd, &status) || ftruncate(copy, status.st_size))
        return -1;
    size_t size = (size_t)status.st_size;
    uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    uint8_t *damaged = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0);
    list_tables(&program, bytes, size);
    memcpy(damaged, bytes, size);
    /* Functions have tables of thousands of entries: to hit one that is used, many are damaged. */
    for (uint64_t left = 1ull << mutate_random(&seed) % 16; left; left--) {
        size_t region = mutate_random(&seed) % program.region_count, width = 1ull << mutate_random(&seed) % 4;
        size_t at =
            program.regions[region].offset + mutate_random(&seed) % program.regions[region].size / width * width;
        uint64_t value = 0;
        if (at + width > size)
            continue;
        memcpy(&value, bytes + at, width);
        value = mutate_value(&program, value, &seed);
        memcpy(damaged + at, &value, width);
    }
    munmap(damaged, size);
    munmap(bytes, size);
    close(fd);
    return copy;
}

/* ---- what it says ------------------------------------------------------------------------------------------------- */

static const uint8_t *skip_string(const uint8_t *at) {
    for (at++; *at != '"'; at++) {
        if (*at < ' ' || *at == 0x7f)
            return NULL;
        if (*at == '\\' && *++at == 'u')
            for (int i = 0; i < 4; i++)
                if (!strchr("0123456789abcdef", *++at) || !*at)
                    return NULL;
    }
    return at + 1;
}

/* Returns what follows the value, or NULL if it is none. */
static const uint8_t *skip_value(const uint8_t *at, int depth) {
    static const char *const words[] = {"true", "false", "null"};
    bool is_object = *at == '{';
    for (size_t i = 0; i < 3; i++)
        if (strncmp((const char *)at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    if (*at == '"')
        return skip_string(at);
    if (*at >= '0' && *at <= '9')
        return at + strspn((const char *)at, "0123456789.");
    if ((*at != '{' && *at != '[') || depth > 20)
        return NULL;
    at++;
    if (*at == (is_object ? '}' : ']'))
        return at + 1;
    for (;;) {
        if (is_object && (*at != '"' || !(at = skip_string(at)) || *at++ != ':' || *at++ != ' '))
            return NULL;
        if (!(at = skip_value(at, depth + 1)))
            return NULL;
        if (*at == (is_object ? '}' : ']'))
            return at + 1;
        if (*at++ != ',' || *at++ != ' ')
            return NULL;
    }
}

/* Returns the length of a sequence of UTF-8 that is no control character; 0: it is none. */
static size_t harmless_at(const uint8_t *c) {
    size_t length = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    bool is_control = c[0] < ' ' || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0);
    bool is_bad = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0) || (c[0] == 0xf0 && c[1] < 0x90) ||
                  (c[0] == 0xf4 && c[1] >= 0x90);
    return is_control || is_bad ? 0 : length;
}

/* Lines of messages that are no JSON begin with the program's name. */
static const char *find_harm(int said, bool is_json) {
    static uint8_t text[1 << 20];
    ssize_t size = pread(said, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = 0;
    for (uint8_t *line = text, *end; (end = (uint8_t *)strchr((char *)line, '\n')); line = end + 1) {
        *end = 0;
        for (const uint8_t *at = line; at < end;) {
            size_t length = *at == '\t' ? 1 : harmless_at(at);
            if (!length)
                return "what it says has a control character, or is no UTF-8";
            at += length;
        }
        bool is_message = strncmp((char *)line, "gilshim-inspect: ", 17) == 0;
        if (is_json && !is_message && (*line != '{' || skip_value(line, 0) != end))
            return "its JSON is none";
    }
    return NULL;
}

/* ---- looking at it ------------------------------------------------------------------------------------------------ */

/* The exit status; 128 and more: it died. */
static int look(const char *name, const char *program, int said, bool is_json, bool is_alone, struct rusage *usage) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {SECONDS, SECONDS};
        char path[64];
        char *words[] = {(char *)"inspect", (char *)"--core", path, NULL, NULL, NULL, NULL, NULL};
        int count = 3;
        setrlimit(RLIMIT_CPU, &limit);
        snprintf(path, sizeof path, "%s", name);
        if (is_json)
            words[count++] = (char *)"-j";
        if (program)
            words[count++] = (char *)program;
        if (is_alone) { /* without files: what the core file has of objects is all */
            words[count++] = (char *)"--root";
            words[count++] = (char *)"/nowhere";
        }
        dup2(said, 1);
        dup2(said, 2);
        exit(inspect_main(count, words));
    }
    wait4(child, &status, 0, usage);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void show(int said, const char *what) {
    char text[4000];
    ssize_t size = pread(said, text, sizeof text, 0);
    printf("%s\n%.*s\n", what, (int)(size > 0 ? size : 0), text);
}

static bool is_status(int result) {
    return result == STATUS_EXPLAINED || result == STATUS_NOTHING || result == STATUS_FAILED;
}

/* Notes what is read of the undamaged core file. */
static void note_reads(const char *path, int said) {
    struct rusage usage;
    reads->count = 0;
    is_noting = true;
    int result = look(path, NULL, said, false, false, &usage);
    is_noting = false;
    if (!is_status(result)) {
        show(said, "not ok - the undamaged core file");
        exit(1);
    }
    if (ftruncate(said, 0) || lseek(said, 0, SEEK_SET))
        exit(2);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--pid") == 0)
        return inspect_main(argc, argv);
    const char *executable = getenv("FUZZ_EXE"); /* the program of which the core files are */
    unsigned long count = argc > 3 ? strtoul(argv[2], NULL, 10) : 0, statuses[256] = {0}, failed = 0;
    uint64_t first = argc > 3 ? strtoull(argv[1], NULL, 10) : 0;
    const char *noted = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0); /* children must not write it again */
    reads = mmap(NULL, sizeof *reads, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (unsigned long i = 0; i < count; i++) {
        char name[64], program[64], what[300];
        const char *path = argv[3 + i * (unsigned long)(argc - 3) / count], *harm;
        int fd = open(path, O_RDONLY), copy = memfd_create("core", 0), said = memfd_create("said", 0), exe = -1;
        struct stat status;
        struct rusage usage;
        if (fd < 0 || copy < 0 || said < 0 || fstat(fd, &status) || ftruncate(copy, status.st_size)) {
            perror(path);
            return 2;
        }
        if (path != noted)
            note_reads(path, said);
        noted = path;
        size_t size = (size_t)status.st_size;
        uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        uint8_t *damaged = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0);
        const Elf64_Ehdr *header = (const void *)bytes;
        struct mutate_object core = {.bytes = bytes, .size = size};
        size_t left = size;
        list_segments(bytes, size);
        mutate_add_region(&core, 0, sizeof *header);
        mutate_add_region(&core, header->e_phoff, (size_t)header->e_phnum * sizeof(Elf64_Phdr));
        for (size_t s = 0; s < segment_count; s++)
            if (segments[s].is_note)
                mutate_add_region(&core, segments[s].offset, segments[s].size);
        if (executable && i % 4 == 3) {
            memcpy(damaged, bytes, size);
            exe = damaged_program(executable, first + i);
        } else {
            left = damage(&core, damaged, first + i);
        }
        munmap(damaged, size);
        munmap(bytes, size);
        if (ftruncate(copy, (off_t)left))
            return 2;
        snprintf(name, sizeof name, "/proc/self/fd/%d", copy);
        snprintf(program, sizeof program, "/proc/self/fd/%d", exe);
        time_t begun = time(NULL);
        int result = look(name, exe >= 0 ? program : NULL, said, i / 4 % 2, exe < 0 && i % 4 == 2, &usage);
        statuses[result & 255]++;
        harm = !is_status(result)                ? "it failed"
               : time(NULL) - begun > SLOW_S     ? "it took too long"
               : usage.ru_maxrss > MEMORY_MAX_KB ? "it used too much memory"
                                                 : find_harm(said, i / 4 % 2);
        if (harm) {
            failed++;
            snprintf(what, sizeof what, "not ok - core file of seed %llu: status %d: %s",
                     (unsigned long long)(first + i), result, harm);
            show(said, what);
        }
        close(fd);
        close(copy);
        close(said);
        if (exe >= 0)
            close(exe);
    }
    printf("# explained %lu, nothing %lu, refused %lu\n", statuses[STATUS_EXPLAINED], statuses[STATUS_NOTHING],
           statuses[STATUS_FAILED]);
    printf("%lu passed, %lu failed, 0 skipped\n", count - failed, failed);
    return failed ? 1 : 0;
}
