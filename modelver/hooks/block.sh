# >>> modelver >>>
# Restores DVC-tracked weights; starts Python only where DVC's pointers differ. To remove: modelver hook uninstall
if (
    set +eu
    # `git --literal-pathspecs checkout` and its like hand on how paths are to be read; those below are patterns
    unset GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS
    same() { git "$@" --quiet -- ':(top,glob)**/*.dvc' ':(top,glob)**/dvc.lock' 2>/dev/null; }
    nothing() { git hash-object -t tree /dev/null; }
    in_rebase() {
        rebase=${GIT_DIR-.git}
        [ -d "$rebase" ] || rebase=$(git rev-parse --git-dir)
        if [ -d "$rebase/rebase-merge" ]; then rebase=$rebase/rebase-merge; else rebase=$rebase/rebase-apply; fi
        [ -d "$rebase" ]
    }
    case @NAME@ in
    post-checkout)
        # $3 is 0 where single files are checked out, and HEAD stays
        [ "$3" = 1 ] && [ "$1" != "$2" ] || exit 0
        case $1 in
        *[!0]*) old=$1 ;;
        *) old=$(nothing) ;; # a clone or a new working tree
        esac
        ! same diff-tree -r "$old" "$2" || exit 0
        ;;
    post-merge)
        # $1 is 1 for --squash: HEAD stays, and what it brought is in the index
        if [ "$1" = 0 ]; then
            ! same diff-tree -r ORIG_HEAD HEAD || exit 0
        else
            ! same diff-index --cached HEAD || exit 0
        fi
        ;;
    post-rewrite)
        # a rebase started with a checkout of its base, whose weights lie here now
        [ "$1" = rebase ] || exit 0
        ! same diff-tree -r "$(nothing)" HEAD || exit 0
        ;;
    post-commit)
        # one that ends a merge, picks or reverts: it changed the working tree, and a plain commit did not
        case $(git log -g -1 --no-show-signature --format=%gs HEAD 2>/dev/null) in
        'commit: Revert "'*) ;; # so it is called after conflicts
        'commit: '* | 'commit (amend): '* | 'commit (initial): '*) exit 0 ;;
        '') git rev-parse --quiet --verify HEAD^2 >/dev/null || exit 0 ;; # there is no reflog
        esac
        ! in_rebase && ! same diff-tree -r HEAD^ HEAD || exit 0
        ;;
    post-index-change)
        # Git runs no other hook where a rebase is aborted, nor for its autostash. $1 is 1 where the working tree changed
        [ "$1" = 1 ] && in_rebase || exit 0
        if [ -f "$rebase/orig-head" ] && read -r begin <"$rebase/orig-head" && git diff-index --cached --quiet "$begin" --; then
            : # all is as it was before
        elif [ -s "$rebase/autostash" ] && [ ! -s "$rebase/git-rebase-todo" ]; then
            read -r stash <"$rebase/autostash"
            ! same diff-tree -r "$stash^" "$stash" || exit 0
        else
            exit 0
        fi
        ;;
    esac
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
