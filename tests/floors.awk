# For `make lint`: a file of shim/ includes only headers of its own folder and of those below it, and by their folder's name.
#   awk -v floors='LOWEST ... HIGHEST' -f tests/floors.awk FILE...
# Prints each breach; status 1 if there is one.

BEGIN {
    count = split(floors, names, " ")
    for (i = 1; i <= count; i++)
        height[names[i]] = i
}

FNR == 1 {
    split(FILENAME, parts, "/")
    folder = parts[2]
    if (!(folder in height)) {
        print FILENAME ": its folder is no floor"
        breaches++
    }
}

/^#include "/ {
    split($2, quoted, "\"")
    header = quoted[2]
    if (split(header, parts, "/") == 2) {
        if (!(parts[1] in height) || height[parts[1]] > height[folder]) {
            print FILENAME ":" FNR ": " header " is above " folder "/"
            breaches++
        }
    } else if (header !~ /\.def$/ && header !~ /^(version|platform)\.h$/) {
        print FILENAME ":" FNR ": " header " is included without its folder"
        breaches++
    }
}

END { exit breaches > 0 }
