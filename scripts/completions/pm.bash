# Completion of bash for pm and the tools: verbs, apps, and the options that --help names, so that they are always those
# of the tool that is there.
# shellcheck shell=bash

# What pm can be told, in the order of its help.
_pm_verbs='start stop restart reload delete scale startOrRestart startOrReload list jlist prettylist monit describe env id
pid send logs flush reset reloadLogs sendSignal kill save resurrect cleardump startup unstartup logrotate init ping update
version help'

# The options of a tool, one a line. (An example at the end of a help may hold those of another tool.)
_pm_options() {
    case ${1##*/} in
    pm) "$1" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' ;;
    *) "$1" --help 2>/dev/null | sed -nE 's/^ +(-[A-Za-z], )?(--[a-z][a-z-]*).*/\2/p' ;;
    esac
    echo '--help
--version'
}

_pm_apps() { pm-stat --match all 2>/dev/null; }

# Offers the lines of $2 that begin with $1. (Not compgen -W: a name may hold blanks and dollars.)
_pm_offer() {
    local line
    while IFS= read -r line; do
        [[ -n $line && $line == "$1"* ]] && COMPREPLY+=("$(printf '%q' "$line")")
    done <<<"$2"
}

_pm() {
    local cur=${COMP_WORDS[COMP_CWORD]} last='' tool=${COMP_WORDS[0]} word
    COMPREPLY=()
    # A chain: the options are those of the last tool in it; behind its program they are the program's.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case ${word##*/} in
        pm-fork | pm-log | pm-restart | pm-cluster) tool=$word ;;
        *) [[ $word == -* || $last == -* || ${tool##*/} == pm || ${tool##*/} == pm-stat ]] || return 0 ;;
        esac
        last=$word
    done
    if [[ $cur == -* ]]; then
        _pm_offer "$cur" "$(_pm_options "$tool" | sort -u)"
        return 0
    fi
    case ${tool##*/} in
    pm)
        if ((COMP_CWORD == 1)); then
            _pm_offer "$cur" "${_pm_verbs// /$'\n'}"
        elif [[ $last != -* ]]; then
            _pm_offer "$cur" "$(echo all && _pm_apps)"
        fi
        ;;
    pm-stat) [[ $last == --wait || $last == --timeout ]] || _pm_offer "$cur" "$(_pm_apps)" ;;
    *) [[ $last == --* && $last != --no-* ]] || _pm_offer "$cur" "$(compgen -c -- "$cur" | sort -u)" ;;
    esac
}

# Where nothing of this fits, files do.
complete -o default -F _pm pm pm-fork pm-log pm-restart pm-cluster pm-stat
