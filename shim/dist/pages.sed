# Makes README.md and shim/doc/*.md fit one folder, in which they are installed: links to each other lose their folders,
# and links into the source tree become plain text.
s,](shim/doc/,](,g
s,](\.\./\.\./README\.md,](README.md,g
s,\[\([^][]*\)](\(\.\./\|shim/\|tests/\|NEWS\|LICENSE\)[^)]*),\1,g
