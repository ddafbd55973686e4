# Completion of pmctl for bash. What may stand where is known by pmctl itself: `pmctl __complete -- WORDS`.

_pmctl() {
	local program=pmctl line lead="" kind="" cur
	local -a words replies

	# A pmctl given by its path answers for itself.
	case ${COMP_WORDS[0]} in
	*/*) program=${COMP_WORDS[0]/#\~/$HOME} ;;
	esac
	# The line up to the cursor, split at blanks; bash has split it at = and : as well.
	line=${COMP_LINE:0:COMP_POINT}
	read -a words <<<"$line"
	case $line in
	*[[:blank:]]) words+=("") ;;
	esac
	cur=${words[${#words[@]} - 1]}
	# Bash puts what we reply after the last of the characters that it splits at.
	case $cur in
	*[=:]*)
		lead=${cur%"${cur##*[=:]}"}
		case $lead in
		*=) [[ $COMP_WORDBREAKS == *=* ]] || lead="" ;;
		*:) [[ $COMP_WORDBREAKS == *:* ]] || lead="" ;;
		esac
		;;
	esac

	COMPREPLY=()
	mapfile -t replies < <("$program" __complete -- "${words[@]:1}" 2>/dev/null)
	for line in "${replies[@]}"; do
		case $line in
		:*) kind=$line ;;
		*)
			line=${line%%$'\t'*}
			line=${line#"$lead"}
			printf -v line %q "$line"
			COMPREPLY+=("$line")
			;;
		esac
	done
	[ -n "$kind" ] || return 0

	cur=${cur#"$lead"}
	compopt -o filenames 2>/dev/null
	while IFS= read -r line; do
		if [ "$kind" = :files ] || [ -d "$line" ]; then
			COMPREPLY+=("$line")
		elif [ "$kind" = :configs ]; then
			case $line in
			*.json | *.yml | *.yaml | *.config.js | *.config.cjs | *.config.mjs) COMPREPLY+=("$line") ;;
			esac
		fi
	done < <(compgen -f -- "$cur")
}

complete -F _pmctl pmctl
