# >>> modelver >>>
# Restores DVC-tracked weights; starts Python only where DVC's pointers differ. To remove: modelver hook uninstall
if (
    set +eu
    # `git --literal-pathspecs checkout` and its like hand on how paths are to be read; those below are patterns
    unset GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS
    case @NAME@ in
    post-checkout)
        # $3 is 0 where single files are checked out, and HEAD stays
        [ "$3" = 1 ] && [ "$1" != "$2" ] || exit 0
        old=$1 new=$2
        ;;
    post-merge)
        # $1 is 1 for --squash, and HEAD stays
        [ "$1" = 0 ] || exit 0
        old=ORIG_HEAD new=HEAD
        ;;
    post-rewrite)
        # a rebase started with a checkout of its base, whose weights lie here now
        [ "$1" = rebase ] || exit 0
        old='' new=HEAD
        ;;
    esac
    case $old in
    *[!0]*) ;;
    *) old=$(git hash-object -t tree /dev/null) ;; # a clone or a new working tree: there was nothing
    esac
    git diff-tree -r --quiet "$old" "$new" -- ':(top,glob)**/*.dvc' ':(top,glob)**/dvc.lock' 2>/dev/null && exit 0
    # -P: a folder of the repository that happens to be called modelver is not ours
    if [ -x @PYTHON@ ] && [ -f @MODULE@ ]; then
        exec @PYTHON@ -P -m modelver.cli.githook @NAME@ "$@" </dev/null
    elif command -v modelver >/dev/null 2>&1; then
        exec modelver hook @NAME@ "$@" </dev/null
    fi
    echo 'modelver: not installed, so DVC-tracked files are left as they are (try: dvc checkout)' >&2
); then :; else
    # what follows keeps its own exit status; only a 0 becomes 1
    trap 'modelver_status=$?; [ "$modelver_status" -ne 0 ] || exit 1' EXIT
fi
# <<< modelver <<<
