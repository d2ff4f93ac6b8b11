# >>> modelver >>>
# Stops version tags whose weights are not stored, and decisions that others have overtaken or can't follow; starts Python
# only for such tags. To remove: modelver hook uninstall
modelver_refs=$(cat)
if (
    set +eu
    # `modelver push` has looked already
    [ -z "${MODELVER_PUSHING-}" ] || exit 0
    # lines of: local ref, its object, remote ref, its object
    printf '%s\n' "$modelver_refs" | grep -v '^(delete) ' | grep -qE ' refs/tags/[^ ]*(@v|#)[^ ]* [0-9a-f]*$' || exit 0
    # -P: a folder of the repository that happens to be called modelver is not ours
    if [ -x @PYTHON@ ] && [ -f @MODULE@ ]; then
        set -- @PYTHON@ -P -m modelver.cli.githook @NAME@ "$@"
    elif command -v modelver >/dev/null 2>&1; then
        set -- modelver hook @NAME@ "$@"
    else
        echo 'modelver: not installed, so nobody can say whether others could use these tags' >&2
        exit 1
    fi
    printf '%s\n' "$modelver_refs" | "$@"
); then :; else
    exit 1
fi
# what follows reads it as if it was the first
if [ -n "$modelver_refs" ]; then
    exec <<modelver_end
$modelver_refs
modelver_end
else
    exec </dev/null
fi
unset modelver_refs
# <<< modelver <<<
