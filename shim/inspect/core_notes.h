/* The notes of a core file: its threads with their registers, the files that were mapped, the auxiliary vector. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "inspect/core_image.h"

/* Adds what the notes in these bytes say to `core`. */
void core_notes_read(struct core_image *core, const uint8_t *bytes, size_t size);

/* Brings the mappings into order. To be called when all notes have been read. */
void core_notes_sort(struct core_image *core);
