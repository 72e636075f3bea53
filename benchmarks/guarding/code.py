"""Code runs where the user named it, and where that is told: not from a model, a study, a run to look at."""

from guarding.guard import Cut, held, never

TOLD = "test_to_train_a_configuration_has_its_code_run_and_says_so"

LOADS = "import importlib; importlib.import_module(config.trainable.partition(':')[0])"

GUARDS = (
    held(
        "a model or a trial's state runs code when it is loaded",
        Cut("trainables/archive.py", "weights_only=True", "weights_only=False"),
        by=(
            "test_model_file.py::test_code_in_a_file_does_not_run",
            "test_assignment.py::test_what_is_no_state_is_not_run_as_code",
            "test_security.py::test_nothing_of_ours_makes_objects_of_files",
        ),
    ),
    held(
        "the index of preprocessed volumes has objects made of bytes",
        never("trainables/volume_index.py", "dtype not in dtypes"),
        by="test_volumes.py::test_an_index_names_arrays_of_numbers_alone",
    ),
    held(
        "an expression that groups cases calls what it likes",
        never("trainables/case_expression.py", "not _has_meaning(node)"),
        by="test_case_expression.py::test_nothing_else_has_a_meaning",
        note="what then is no value still fails for each case",
    ),
    held(
        "to look at a run imports the code that its sweep file names",
        Cut("tuner/config.py", "        config._source = path\n", f"        config._source = path\n        {LOADS}\n"),
        by="test_security.py::test_to_look_at_a_run_has_none_of_its_code_run",
        note="the guard is that nothing imports it: an import is put in",
    ),
    held(
        "`resume` runs code of a run without a word",
        Cut(
            "tuner/sweep.py",
            "if note := code_note(config.source, config.trainable, config.search.sampler):",
            "if note := None:",
        ),
        by="test_security.py::test_to_go_on_with_a_run_has_it_run_and_says_so",
    ),
    held(
        "`train` runs code of a configuration without a word",
        Cut("tuner/train.py", "if note := code_note(path, config.trainable):", "if note := None:"),
        by=f"test_security.py::{TOLD}[options0]",
    ),
    held(
        "`train --folds` runs code of a configuration without a word",
        Cut("tuner/fold_request.py", "if note := code_note(path, file.trainable):", "if note := None:"),
        by=f"test_security.py::{TOLD}[options1]",
    ),
    held(
        "MONAI runs names of labels that stand in a bundle",
        Cut(
            "tuner/bundle_configs.py",
            '"names": [inert(name) for name in mapping["names"]]',
            '"names": mapping["names"]',
        ),
        by="test_bundle.py::test_names_are_not_run",
    ),
    held(
        "a tag in YAML makes an object",
        never("search_spaces/yaml_file.py", 'getattr(event, "tag", None) is not None'),
        by="test_yaml_file.py::test_what_is_not_a_plain_mapping_is_refused_with_its_line",
        note="PyYAML's loader is the safe one besides, and our own reading of its nodes knows no tag",
    ),
)
