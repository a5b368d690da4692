#compdef run-with-shim.sh gilshim
# Zsh completion for run-with-shim.sh. It is installed as _gilshim in a folder of $fpath.

_arguments -s -S -A '-*' : \
    '-m+[how to work]:mode:((repair\:"repair what would go wrong" observe\:"change nothing, report what would be repaired" strict\:"exit with status 66 at the first thing to repair" off\:"do nothing"))' \
    '*-v[report repairs on stderr; twice\: more]' \
    '-q[print only fatal problems, and no summary]' \
    '-o+[write messages to FILE.PID]:file:_files' \
    '(-j --json)'{-j,--json}'[messages as JSON]' \
    '-t+[write a timeline]:file:_files' \
    '-s+[report who holds the GIL after this wait]:seconds: ' \
    '-c+[check for GIL errors]:what:((calls\:"calls of the API without the GIL" locks\:"locks that can deadlock with the GIL" all\:both))' \
    '-S+[leave out what matches the suppressions]:file:_files' \
    '-d[run COMMAND under gdb]' \
    '(-p --pid)'{-p+,--pid}'[say why this process hangs]:process:_pids' \
    '--core[say why the process hung or died that left this core file]:core:_files' \
    '(-)*--plot[print a page that shows these timelines]:*:timeline:_files' \
    '--root[where the program and libraries of the core file are]:folder:_files -/' \
    "--check[say whether the shim can serve COMMAND]" \
    '(- : *)--options[list what can be set in GILSHIM_OPTIONS]' \
    '(- : *)'{-h,--help}'[show the options]' \
    '(- : *)--version[show the version]' \
    '(-):command: _command_names -e' \
    '*::arguments: _normal'
