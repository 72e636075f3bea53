"""Names of folders, cases and sweeps are text to shells and to YAML, and no paths where they are files' names."""

from guarding.guard import Cut, held, never

SLURM = "cluster/slurm.py"

SHELL_OF_REPORT = "test_report.py::test_commands_name_the_directory_as_a_shell_needs_it"
CASE_ATTACHED = "test_best_cases.py::test_what_a_list_of_cases_names_elsewhere_is_not_attached"

PATHS = (
    held(
        "a sweep's name is a path",
        Cut("tuner/section.py", r'pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"', 'pattern=r"^.+$"'),
        by="test_config.py::test_bad_values_in_place_are_named",
    ),
    held(
        "a case's name is a path",
        never("trainables/problems.py", '"/" in name or name.startswith(".") or not name.isprintable()'),
        by=(
            "test_nnunet_raw.py::test_broken_rules_name_key_and_value",
            "test_case_table.py::test_broken_tables",
        ),
    ),
    held(
        "a case's name is a path where its picture is attached to a study",
        Cut("tuner/artifacts.py", r"""re.sub(r"[/\x00-\x1f\x7f]", "_", case["case"][:LONGEST_CASE])""", 'case["case"]'),
        by=CASE_ATTACHED,
    ),
    held(
        "the list of a run's pictures names a file elsewhere, which the report would show",
        Cut("tuner/best_cases.py", "if not file.is_relative_to(folder) or ", "if "),
        by=("test_sweep_files.py::test_a_picture_lies_in_its_folder", CASE_ATTACHED),
    ),
    held(
        "a parameter's name is more than a word",
        never("search_spaces/space.py", "not isinstance(name, str) or not name.isidentifier()"),
        by="test_space.py::test_a_form_that_breaks_a_rule_is_refused_under_its_key",
    ),
)

SHELLS = (
    held(
        "a folder's name is run by the shell of a Slurm job",
        Cut(SLURM, 'f"{name}={shlex.quote(str(value))}"', 'f"{name}={value}"'),
        by="test_slurm.py::test_names_mean_nothing_to_the_shell",
    ),
    held(
        "a partition's or account's name gives Slurm more options",
        never(SLURM, r'value is not None and not re.fullmatch(r"[\w.,@+-]+", value)'),
        by="test_slurm.py::test_what_slurm_would_refuse_is_refused",
    ),
    held(
        "a folder's name means something else to Slurm",
        never(SLURM, r're.search(r"[\n\\%]", str(path))'),
        by="test_slurm.py::test_what_slurm_would_refuse_is_refused",
    ),
    held(
        "a folder's name is run by the shell of a submitted job",
        Cut("tuner/submission.py", "else shlex.quote(path)", "else path"),
        by="test_submission.py::test_the_cluster_s_shell_reads_the_folder_as_it_is_meant",
    ),
    held(
        "a sweep's name is run by the shell of a submitted job",
        Cut("tuner/submission.py", "{shlex.join(arguments)}", "{' '.join(arguments)}"),
        by="test_submission.py::test_the_command_runs_there_and_goes_on_where_it_was_begun",
    ),
    held(
        "a run's folder is run by the shell of who copies the report's commands",
        Cut(
            "tuner/report_commands.py",
            'return shlex.quote(f"{folder}/{file}" if file else folder)',
            'return f"{folder}/{file}" if file else folder',
        ),
        by=SHELL_OF_REPORT,
    ),
    held(
        "a data set's folder is run by the shell of who copies the report's commands",
        Cut("tuner/report_commands.py", "shlex.quote(str(dataset.path))", "str(dataset.path)"),
        by=SHELL_OF_REPORT,
    ),
    held(
        "a folder's name is run by the shell that starts Prometheus",
        Cut("cluster/monitoring.py", 'shlex.join(["prometheus",', '" ".join(["prometheus",'),
        by="test_monitoring.py::test_everything_listens_on_loopback_and_lies_in_the_folder",
    ),
    held(
        "a value leaves its place in the files for `ray up` and KubeRay",
        Cut(
            "cluster/templating.py",
            "return json.dumps(values[within], ensure_ascii=False)",
            "return str(values[within])",
        ),
        by="test_templating.py::test_values_within_a_line_and_texts_on_their_own",
    ),
    held(
        "a folder's name is run by the shell of a lab's machines",
        never("cluster/ray_up.py", 'not re.fullmatch("[~/][A-Za-z0-9_./-]*", self.environment)'),
        by="test_templates.py::test_what_can_not_be",
    ),
    held(
        "a data set's text leaves its comment in a drafted sweep file",
        Cut("tuner/draft_text.py", r"""re.sub(r"[^ -~\u00a0-\ud7ff]", " ", text).split()""", 'text.split(" ")'),
        by="test_draft.py::test_text_of_the_data_set_stays_in_its_place",
    ),
    held(
        "a text leaves its comment in the best configuration",
        Cut(
            "tuner/commented_yaml.py",
            'if comment := _on_one_line(comments.get(here, "")):',
            'if comment := comments.get(here, ""):',
        ),
        by="test_commented_yaml.py::test_the_content_stays",
    ),
)

GUARDS = (*PATHS, *SHELLS)
