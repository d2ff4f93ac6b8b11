"""The guarantees, and the tests that show each: what the page, the README and the counting are made from."""

from dataclasses import dataclass

SAMPLE = "sample of "
"""How `Proof.cases` names the quick form of a sweep."""


@dataclass(frozen=True)
class Proof:
    """A test.

    Attributes:
        test: ``FILE::FUNCTION`` below ``tests/``.
        what: one case of it, in the plural.
        cases: how many: an expression over the names of its module; ``sample of FUNCTION``: what that one draws from;
            nothing: the tests that pytest makes of the function.
    """

    test: str
    what: str
    cases: str = ""


@dataclass(frozen=True)
class Guarantee:
    """A sentence that holds, and what shows it."""

    number: int
    sentence: str
    proofs: tuple[Proof, ...]
    remark: str = ""


GUARANTEES = (
    Guarantee(
        1,
        "Every object of a published tag was read back from the DVC remote and had the right bytes before the tag went "
        "out; where one is missing, cut short or flipped, the tag does not appear on the Git remote.",
        (
            Proof(
                "faults/test_push_storage.py::test_every_harm",
                "ways to harm an object, on a folder and on S3, with and without a whole cache",
                "2 * 3 * len(HARMS) * 2",
            ),
            Proof(
                "faults/test_push_storage.py::test_a_bit_that_flips_on_the_disk_of_the_storage",
                "bit flipped on the disk of the S3 server",
            ),
        ),
    ),
    Guarantee(
        2,
        "A killed `tag`, `push`, `promote`, `rollback` or `gc` leaves the old state or the whole new one.",
        (
            Proof(
                "faults/test_kill_sweep.py::test_every_point",
                "system calls at which `tag` is killed",
                "sample of test_sampled_points",
            ),
            Proof("faults/test_push_kill.py::test_every_point", "at which `push` is", "sample of test_sampled_points"),
            Proof(
                "faults/test_kill_tag_push.py::test_every_point",
                "at which `tag --push` is",
                "sample of test_sampled_points",
            ),
            Proof(
                "faults/test_kill_promote.py::test_every_point",
                "at which `promote` and `rollback` are",
                "sample of test_sampled_points",
            ),
            Proof(
                "faults/test_gc_kill.py::test_every_point",
                "at which `gc` and `backup` are",
                "sample of test_sampled_points",
            ),
            Proof("faults/test_get_kill.py::test_every_point", "at which `get` is", "sample of test_sampled_points"),
        ),
    ),
    Guarantee(
        3,
        "The rerun after a kill finishes, with no cleaning by hand.",
        (
            Proof(
                "faults/test_kill_sweep.py::test_every_point",
                "kills, each followed by the command once more",
                "sample of test_sampled_points",
            ),
            Proof("faults/test_push_kill.py::test_every_point", "of `push`", "sample of test_sampled_points"),
            Proof("faults/test_kill_tag_push.py::test_every_point", "of `tag --push`", "sample of test_sampled_points"),
            Proof(
                "faults/test_kill_promote.py::test_every_point",
                "of `promote` and `rollback`",
                "sample of test_sampled_points",
            ),
            Proof("faults/test_gc_kill.py::test_every_point", "of `gc` and `backup`", "sample of test_sampled_points"),
            Proof("faults/test_get_kill.py::test_every_point", "of `get`", "sample of test_sampled_points"),
        ),
    ),
    Guarantee(
        4,
        "Of 8 people in 3 clones who tag the same version exactly one wins; the others' commands fail, and their "
        "clones keep no tag.",
        (Proof("faults/test_push_race.py::test_many_rounds", "rounds", "ROUNDS"),),
    ),
    Guarantee(
        5,
        "`verify` finds a published tag that was moved or deleted, and names what it was and what it is.",
        (
            Proof(
                "faults/test_verify_moved_tags.py::test_a_moved_tag_is_found_and_put_back_by_the_hint",
                "ways to move a tag",
            ),
            Proof(
                "faults/test_verify_moved_tags.py::test_a_deleted_tag_is_found_and_made_again_by_the_hint",
                "deleted tags",
            ),
        ),
    ),
    Guarantee(
        6,
        "`get` gives the recorded bytes, or fails and leaves everything as it was. `git checkout` gives them, or fails "
        "and leaves the weights as they were: Git has moved the rest by then; `modelver restore` finishes once the "
        "cache is whole.",
        (
            Proof("faults/test_checkout_bits.py::test_git_checkout_itself", "`git checkout`, with harm of each sort"),
            Proof(
                "faults/test_checkout_bits.py::test_every_bit",
                "bits flipped in DVC's cache",
                "sample of test_sampled_bits",
            ),
            Proof(
                "faults/test_get_bits.py::test_every_bit_on_the_remote",
                "on the remote",
                "sample of test_sampled_bits_on_the_remote",
            ),
            Proof(
                "faults/test_get_bits.py::test_every_bit_in_the_cache",
                "in the consumer's cache",
                "sample of test_sampled_bits_in_the_cache",
            ),
        ),
    ),
    Guarantee(
        7,
        "Work that is not committed is never overwritten without `--force`.",
        (
            Proof("operations/test_restore.py::test_a_changed_file_is_kept_and_named", "changed file"),
            Proof(
                "operations/test_restore.py::test_an_untracked_file_where_the_version_has_one_is_kept", "untracked file"
            ),
            Proof(
                "operations/test_restore.py::test_a_folder_with_own_files_does_not_become_a_file", "folder of one's own"
            ),
            Proof("operations/test_restore.py::test_restore_paths_removes_a_stray_file_by_force_only", "stray file"),
            Proof("faults/test_guard_work.py::test_all_work", "commands beside work of each sort", "len(CASES)"),
        ),
    ),
    Guarantee(
        8,
        "`gc` never removes what a tag, a branch, a stash, a working tree or a young reflog entry needs, also while "
        "somebody publishes.",
        (
            Proof(
                "faults/test_gc_machine.py::test_many_lives_of_a_repository",
                "steps, at most, in 60 lives of a repository",
                r"product of max_examples=(\d+), stateful_step_count=(\d+), database",
            ),
            Proof(
                "cli/test_gc_remote.py::test_a_push_beside_it_comes_out_whole_in_every_order",
                "orders of the steps of a push and of `gc --remote`, `dvc push` among them",
            ),
            Proof(
                "cli/test_gc_remote.py::test_a_real_push_beside_it_comes_out_whole",
                "processes of `modelver push` beside `gc --remote`",
            ),
        ),
    ),
    Guarantee(
        9,
        "A full disk loses no file of the user's and leaves no rubbish.",
        (
            Proof(
                "faults/test_guard_full_disk.py::test_every_size_of_room", "commands on disks with 0 to 768 KiB of room"
            ),
            Proof("disk/test_files.py::test_a_full_disk_leaves_the_old_content", "write"),
            Proof("operations/test_restore.py::test_a_full_disk_leaves_the_out_as_it_was", "checkout"),
            Proof("faults/test_get_kill.py::test_a_full_disk", "`get`s"),
        ),
        "Not taken back is what DVC's own `add` has done for a plain model when the disk gets full: its pointer and\n"
        "its line in `.gitignore`, and what `init` has written by then. The rerun takes them over.",
    ),
    Guarantee(
        10,
        "With a DVC remote that fails every n-th request by 503, reset or truncation, or whose storage is killed "
        "midway, `push` publishes the whole version, or fails and no tag goes out.",
        (
            Proof(
                "faults/test_push_failing.py::test_every_nth_request_fails",
                "ways to fail: three kinds, n from 1 to 20",
                "len(CASES)",
            ),
            Proof("faults/test_push_failing.py::test_storage_killed_midway", "storage killed"),
        ),
    ),
    Guarantee(
        11,
        "Any single flipped bit of weights, sidecar, manifests, pointers or lock file is found.",
        (
            Proof(
                "faults/test_checkout_bits.py::test_every_bit",
                "bits of weights, found before they land",
                "sample of test_sampled_bits",
            ),
            Proof(
                "faults/test_verify_flipped_bits.py::test_every_flipped_bit_of_the_weights_is_found",
                "bits of weights in the cache, found by `verify`",
                "sample of test_a_flipped_bit_of_the_weights_is_found",
            ),
            Proof(
                "faults/test_verify_flipped_bits.py::test_every_flipped_bit_is_found",
                "bits of sidecars, manifests, pointers and `dvc.lock`, with the tag's message kept and forged anew",
                "sample of test_a_flipped_bit_of_a_sample_is_found",
            ),
        ),
    ),
    Guarantee(
        12,
        "Nothing is written outside of the repository, its caches and its remotes, whatever a repository holds.",
        (
            Proof(
                "faults/test_guard_paths.py::test_every_hostile_repository",
                "commands on hostile repositories, every path that they change looked at",
                "cases()",
            ),
            Proof(
                "faults/test_guard_paths.py::test_what_only_answers_runs_nothing_of_a_copied_configuration",
                "configuration of Git's that names programs",
            ),
            Proof(
                "faults/test_get_hostile.py::test_outs_elsewhere",
                "tests of `get` from repositories that mean harm",
                "tests of the file",
            ),
        ),
        "What Git's own configuration names is Git's to run: see [where the line is](#where-the-line-is).",
    ),
    Guarantee(
        13,
        "No code of a model and no pickle runs but in the stages that a user starts.",
        (
            Proof(
                "faults/test_guard_code.py::test_nothing_of_the_repository_runs",
                "commands in a repository full of traps, each Python process with an audit hook",
                "cases()",
            ),
            Proof("operations/test_load.py::test_no_pickle_no_program_but_git", "`load` of a model, and a run of it"),
        ),
    ),
    Guarantee(
        14,
        "No input gives a traceback, takes 10 seconds of the processor's time or a gibibyte of memory.",
        (
            Proof(
                "fuzz/test_fuzz.py::test_two_minutes",
                "readers, fuzzed for two minutes in CI, for an hour by `make fuzz`",
                "len(TARGETS)",
            ),
            Proof("fuzz/test_fuzz.py::test_what_was_found_once", "inputs that were found once"),
            Proof("faults/test_hostile_documents.py::test_as_a_sidecar", "documents made by hand", "len(DOCUMENTS)"),
            Proof(
                "faults/test_hostile_documents.py::test_as_a_file_that_all_models_share",
                "in place of `params.yaml`, `dvc.yaml`, a pointer and `dvc.lock`",
                "4 * len(DOCUMENTS)",
            ),
            Proof(
                "faults/test_hostile_documents.py::test_generated_files",
                "in place of the manifests and other JSON of a model",
                "4 * len(JSON_DOCUMENTS)",
            ),
            Proof(
                "faults/test_hostile_documents.py::test_modelvers_own_notes",
                "in place of what modelver notes in `.git/modelver`",
                "3 * len(JSON_DOCUMENTS)",
            ),
            Proof(
                "faults/test_guard_paths.py::test_every_hostile_repository",
                "commands on hostile repositories, their time and memory taken",
                "cases()",
            ),
        ),
        "The last long run was one of 45 minutes with atheris on a busy machine, on 2026-11-21: 986,221 inputs to 21\n"
        "readers. It found four ways to confuse what edits `dvc.yaml`, mended since; they are in `tests/fuzz/corpus`.",
    ),
    Guarantee(
        15,
        "Secrets never reach tags, sidecars, logs, errors or reports.",
        (
            Proof(
                "faults/test_guard_secrets.py::test_nothing_that_is_said",
                "command lines, those that fail too; all that they say and leave behind is searched",
                "cases()",
            ),
        ),
    ),
)
