# shellcheck shell=bash
# Bash completion for run-with-shim.sh. It is installed as bash-completion/completions/run-with-shim.sh, or sourced.

_run_with_shim() {
    local word=${COMP_WORDS[COMP_CWORD]} wants='' i
    COMPREPLY=()
    # Are there only options and their arguments before the word to complete, or also the command?
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [ -n "$wants" ]; then
            wants=''
            continue
        fi
        case ${COMP_WORDS[i]} in
        --) _run_with_shim_command $((i + 1)) && return ;;
        -[djqv]*[cmoptsS] | -[cmoptsS]) wants=${COMP_WORDS[i]: -1} ;;
        --pid) wants=p ;;
        --core | --root) wants=f ;;
        --plot) _run_with_shim_files "$word" && return ;; # all that follows
        -*) ;;
        *) _run_with_shim_command $i && return ;;
        esac
    done
    case $wants in
    m) mapfile -t COMPREPLY < <(compgen -W 'repair observe strict off' -- "$word") ;;
    c) mapfile -t COMPREPLY < <(compgen -W 'calls locks all' -- "$word") ;;
    s) ;;
    p) mapfile -t COMPREPLY < <(cd /proc && compgen -G "${word:-[0-9]}*") ;;
    ?) _run_with_shim_files "$word" ;;
    *)
        if [[ $word == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W '-m -v -q -o -j --json -t -s -c -S -d -p --pid --core --plot --root --check --options -h --help --version --' -- "$word")
        else
            _run_with_shim_command "$COMP_CWORD"
        fi
        ;;
    esac
}

_run_with_shim_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

# Completes the command that begins at word $1 as if it were alone. Without bash-completion, completes only names.
_run_with_shim_command() {
    if declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif (($1 == COMP_CWORD)); then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
    else
        _run_with_shim_files "${COMP_WORDS[COMP_CWORD]}"
    fi
    return 0
}

complete -F _run_with_shim run-with-shim.sh gilshim
