# Completion of wsrelayctl for bash: commands and options are those that
# wsrelayctl itself says (-h), so that there is no second list of them.
_wsrelayctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local program=${COMP_WORDS[0]} command='' i words
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --socket) i=$((i + 1)) ;;
		-*) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	case $prev in
	-c | --socket | --private-key | --qr)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	if [[ $command == play || $command == record ]] && [[ $cur != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	if [[ $command == '' && $cur != -* ]]; then
		# The first word of the lines that list commands.
		words=$("$program" -h 2>/dev/null |
			sed -n 's/^  \([a-z][a-z]*\) .*/\1/p')
	else
		# shellcheck disable=SC2086 # no command is no argument
		words=$("$program" $command -h 2>/dev/null |
			grep -o -e '--[a-z][a-z-]*')
		[[ $command != '' ]] || words='-c --socket --json -h -V'
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o filenames -F _wsrelayctl wsrelayctl
