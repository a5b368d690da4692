/* What is special about the reports of check=locks: they name two places, two threads, and locks. For whoever calls
 * report_find. The functions open and map files, and are called on the aside stack only. */
#pragma once

struct finding_words;
extern const struct finding_words lock_report_words;
