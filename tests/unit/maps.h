/* The protection of each page of a mapped file, as one text to compare. */
#pragma once

#include <stdio.h>
#include <string.h>

static inline void maps_of(const char *file, char *text, size_t size) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024], last_mode[8] = "";
    unsigned long start, end, last_end = 0;
    char mode[8];
    size_t used = 0;
    text[0] = '\0';
    while (maps && fgets(line, sizeof line, maps)) {
        if (!strstr(line, file) || sscanf(line, "%lx-%lx %7s", &start, &end, mode) != 3)
            continue;
        /* Two neighbours of the same mode are one: how the kernel keeps them is no matter. */
        if (start != last_end || strcmp(mode, last_mode) != 0)
            used += (size_t)snprintf(text + used, size - used, "%lx %s\n", start, mode);
        last_end = end;
        strcpy(last_mode, mode);
    }
    snprintf(text + used, size - used, "end %lx\n", last_end);
    if (maps)
        fclose(maps);
}
