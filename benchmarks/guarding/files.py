"""Files from others are what they say, take no more memory or disk than that, and name nothing outside their folder."""

from guarding.guard import Cut, held, never

ARCHIVE, MODEL, YAML = "trainables/archive.py", "trainables/model_file.py", "search_spaces/yaml_file.py"
INDEX, IMAGE, DOWNLOAD = "trainables/volume_index.py", "trainables/volume_file.py", "trainables/download.py"
STUDY = "tuner/stored_study.py"

YAML_TEST = "test_yaml_file.py::test_what_is_not_a_plain_mapping_is_refused_with_its_line"

GUARDS = (
    held(
        "a model's entries are of other types",
        never(MODEL, "type(content[key]) is not kind"),
        by="test_model_file.py::test_content_of_the_wrong_kind",
    ),
    held(
        "a model's weights are of another shape or type",
        never(MODEL, "weight.shape != wanted.shape or weight.dtype != wanted.dtype or weight.layout != wanted.layout"),
        by="test_model_file.py::test_weights_of_another_network",
    ),
    held(
        "a model's settings hold more than plain values",
        Cut(MODEL, '    _plain(content["training"], "training")\n', ""),
        by="test_model_file.py::test_content_of_the_wrong_kind",
    ),
    held(
        "a small model or state inflates",
        never(ARCHIVE, "any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())"),
        by=(
            "test_model_file.py::test_a_small_file_can_not_become_a_large_one",
            "test_assignment.py::test_a_state_that_would_grow_or_is_none_is_not_taken",
        ),
    ),
    held(
        "a model's entries are the same bytes many times",
        never(ARCHIVE, "sum(entry.compress_size for entry in archive.infolist()) > path.stat().st_size"),
        by="test_model_file.py::test_entries_that_are_the_same_bytes",
    ),
    held(
        "a model's lists hold one another, and grow when they are read",
        never(ARCHIVE, "_has_more_values(content, MOST_VALUES)"),
        by="test_model_file.py::test_lists_that_hold_one_another_many_times",
    ),
    held(
        "anchors in YAML make gigabytes of a few lines",
        never(YAML, 'isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None'),
        by=YAML_TEST,
    ),
    held(
        "YAML is nested until the parser's recursion ends",
        never(YAML, "self.depth >= DEEPEST_NESTING"),
        by=YAML_TEST,
    ),
    held(
        "a key in YAML is given twice, and the last one wins",
        never(YAML, "key in mapping"),
        by=YAML_TEST,
    ),
    held(
        "a YAML file is too large to be parsed",
        never(YAML, "len(content) > LARGEST_FILE"),
        by="test_yaml_file.py::test_a_file_s_errors_name_the_file",
    ),
    held(
        "an expression that groups cases grows without end",
        never("trainables/case_expression.py", "isinstance(value, int) and abs(value) > LARGEST_NUMBER"),
        by="test_case_expression.py::test_growth_is_stopped_early",
    ),
    held(
        "members of a downloaded archive leave its folder",
        Cut(DOWNLOAD, 'filter="data"', 'filter="fully_trusted"'),
        by="test_download.py::test_members_that_leave_the_folder_are_refused[../outside.txt]",
    ),
    held(
        "a downloaded archive inflates",
        Cut(DOWNLOAD, 'tarfile.open(archive, "r:")', 'tarfile.open(archive, "r")'),
        by="test_download.py::test_an_archive_that_grows_when_unpacked_is_refused[w:gz]",
    ),
    held(
        "members of a downloaded archive are larger than it is",
        never(DOWNLOAD, "sum(member.size for member in tar) > archive.stat().st_size"),
        by="test_download.py::test_an_archive_that_grows_when_unpacked_is_refused[w]",
    ),
    held(
        "a downloaded archive is another one than MONAI names",
        Cut(DOWNLOAD, "    if found != md5:\n", "    if False:\n"),
        by="test_download.py::test_a_wrong_checksum_is_refused_and_forgotten",
    ),
    held(
        "a manifest names files outside its folder (Decathlon and nnU-Net)",
        never("trainables/manifest.py", r"""path.is_absolute() or ".." in path.parts or "\0" in value"""),
        by=(
            "test_decathlon.py::test_a_file_that_is_there_beside_the_folder_is_none_of_its",
            "test_nnunet_raw.py::test_a_file_that_is_there_beside_the_folder_is_none_of_its",
        ),
    ),
    held(
        "a NIfTI file inflates to far more than its header promises",
        Cut(IMAGE, "    if len(data) > most:\n", "    if False:\n"),
        by="test_volume_file.py::test_a_small_file_can_not_fill_the_memory",
    ),
    held(
        "such a file fills the memory before that is found",
        Cut(IMAGE, "data = inflate(content, most=most + 1)", "data = inflate(content, most=2**62)"),
        by="test_volume_file.py::test_a_small_file_can_not_fill_the_memory",
    ),
    held(
        "a NIfTI header promises more than the memory holds",
        Cut(IMAGE, "if too_much := past_memory(needed):", "if too_much := None:"),
        by="test_volume_file.py::test_a_small_file_can_not_fill_the_memory",
    ),
    held(
        "the index of preprocessed volumes names bytes that are not there",
        Cut(INDEX, "if 0 <= offset <= offset + place.bytes <= end:", "if True:"),
        by="test_volumes.py::test_nothing_of_a_broken_index_is_believed",
    ),
    held(
        "the index of preprocessed volumes has shapes that do not fit",
        Cut(INDEX, "places.image.shape != (plan.channels, *places.label.shape)", "False"),
        by="test_volumes.py::test_nothing_of_a_broken_index_is_believed",
    ),
    held(
        "a study's attributes are of other types",
        Cut(STUDY, "        kind.model_validate(attributes)\n", "        pass\n"),
        by=(
            "test_stored_study.py::test_attributes_of_a_trial",
            "test_stored_study.py::test_attributes_of_the_study",
            "test_stored_study.py::test_a_driver_goes_on_with_no_such_study",
        ),
    ),
    held(
        "a study's trials have values that it does not search",
        Cut(STUDY, "        _check_parameter(space, name, value, place)\n", "        pass\n"),
        by="test_stored_study.py::test_what_optuna_takes_and_no_trial_of_ours_is",
    ),
    held(
        "a line of a study's journal is nested until the parser's recursion ends",
        Cut("tuner/journal.py", "except (ValueError, RecursionError):", "except ValueError:"),
        by="test_stored_study.py::test_a_line_that_is_nested_too_deep_is_no_record",
    ),
    held(
        "the small files of a run are of another form",
        Cut("tuner/sweep_files.py", "        kind.model_validate(content)\n", "        pass\n"),
        by=(
            "test_sweep_files.py::test_a_split_of_another_form",
            "test_sweep_files.py::test_an_environment_of_another_form",
        ),
    ),
)
