# Fish completion for run-with-shim.sh. It is installed as vendor_completions.d/run-with-shim.sh.fish.

# Prints the words of the command behind the options. Fails if none has begun before the word to complete.
function __gilshim_command
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        if test "$words[1]" = --
            set -e words[1]
            set -q words[1]; and printf '%s\n' $words
            return 0
        else if string match -qr -- '^-[dhjqv]*[cmopstS]$|^--(pid|core|plot|root)$' $words[1]
            set -e words[1..2]
        else if string match -q -- '-*' $words[1]
            set -e words[1]
        else
            printf '%s\n' $words
            return 0
        end
    end
    return 1
end

# Completes the command as if it were alone.
function __gilshim_complete_command
    set -l words (__gilshim_command | string escape)
    complete -C (string join ' ' -- $words (commandline -ct | string collect -a))
end

for name in run-with-shim.sh gilshim
    complete -c $name -f -a '(__gilshim_complete_command)'
    complete -c $name -n 'not __gilshim_command' -s m -x -a 'repair observe strict off' -d 'How to work'
    complete -c $name -n 'not __gilshim_command' -s v -d 'Report repairs on stderr; twice: more'
    complete -c $name -n 'not __gilshim_command' -s q -d 'Print only fatal problems, and no summary'
    complete -c $name -n 'not __gilshim_command' -s o -r -F -d 'Write messages to FILE.PID'
    complete -c $name -n 'not __gilshim_command' -s j -l json -d 'Messages as JSON'
    complete -c $name -n 'not __gilshim_command' -s t -r -F -d 'Write a timeline'
    complete -c $name -n 'not __gilshim_command' -s s -x -d 'Report who holds the GIL after this many seconds'
    complete -c $name -n 'not __gilshim_command' -s c -x -a 'calls locks all' -d 'Check for GIL errors'
    complete -c $name -n 'not __gilshim_command' -s S -r -F -d 'Leave out what matches the suppressions in FILE'
    complete -c $name -n 'not __gilshim_command' -s d -d 'Run COMMAND under gdb'
    complete -c $name -n 'not __gilshim_command' -s p -l pid -x -a '(__fish_complete_pids)' -d 'Say why this process hangs'
    complete -c $name -n 'not __gilshim_command' -l core -r -F -d 'Say why the process hung or died that left this core file'
    complete -c $name -n 'not __gilshim_command' -l plot -r -F -d 'Print a page that shows these timelines'
    complete -c $name -n 'not __gilshim_command' -l root -x -a '(__fish_complete_directories)' -d 'Where the files of the core are'
    complete -c $name -n 'not __gilshim_command' -l check -d 'Say whether the shim can serve COMMAND'
    complete -c $name -n 'not __gilshim_command' -l options -d 'List what can be set in GILSHIM_OPTIONS'
    complete -c $name -n 'not __gilshim_command' -s h -l help -d 'Show the options'
    complete -c $name -n 'not __gilshim_command' -l version -d 'Show the version'
end
