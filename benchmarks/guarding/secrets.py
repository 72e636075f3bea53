"""Passwords, webhooks and tokens stand in no log, report, error or command line, and copies are their owner's."""

from guarding.guard import Cut, held, never

STORAGE, WEBHOOK = "tuner/storage.py", "tuner/webhook_url.py"

GUARDS = (
    held(
        "a storage's password is shown",
        Cut(STORAGE, "render_as_string(hide_password=True)", "render_as_string(hide_password=False)"),
        by="test_storage.py::test_password_is_never_shown",
    ),
    held(
        "a storage's password is shown where it is an option of the URL",
        Cut(STORAGE, 'secrets = {name: "***" for name in _SECRETS if name in parsed.query}', "secrets = {}"),
        by="test_storage.py::test_password_is_never_shown",
    ),
    held(
        "a storage's password is shown where the URL can't be read",
        Cut(
            STORAGE,
            """return re.sub(rf"(//[^:/@]*:).*@|((?:{'|'.join(_SECRETS)})=)[^&]*", _without_secret, url)""",
            "return url",
        ),
        by="test_storage.py::test_password_is_never_shown",
    ),
    held(
        "an error of the database shows the password that a variable holds",
        Cut(
            STORAGE,
            'raise StudyError(f"storage: {shown_url(url)} {_problem(parsed, error)}") from error',
            'raise StudyError(f"storage: {expanded_url(url)} {_problem(parsed, error)}") from error',
        ),
        by="test_storage_url.py::test_a_database_is_opened_by_its_expanded_url",
    ),
    held(
        "an error of a sweep file shows the storage's URL",
        Cut("tuner/config_errors.py", 'secret = schema.get("writeOnly", False)', "secret = False"),
        by="test_config.py::test_bad_keys_and_values_are_named",
    ),
    held(
        "an error of a sweep file shows the webhook",
        Cut(
            WEBHOOK,
            "        raise ValueError(RULE)\n    if not VARIABLE",
            '        raise ValueError(f"{RULE}; got {url}")\n    if not VARIABLE',
        ),
        by="test_webhook_url.py::test_a_sweep_file_with_another_url_is_refused_and_the_url_not_shown",
    ),
    held(
        "a warning shows the webhook",
        Cut(
            WEBHOOK,
            """return urlsplit(url).netloc if url.lower().startswith("http") else url.partition("}")[0] + "}\"""",
            "return url",
        ),
        by="test_on_end.py::test_who_does_not_want_to_know_is_a_warning_without_the_secret",
    ),
    held(
        "a webhook sends what it is told on to another address",
        Cut("tuner/on_end.py", "build_opener(_NoRedirect)", "build_opener()"),
        by="test_on_end.py::test_who_does_not_want_to_know_is_a_warning_without_the_secret",
    ),
    held(
        "the webhook is given to a program, whose command line anybody on the machine may read",
        Cut(
            "tuner/on_end.py",
            "    address = resolved(url)\n",
            "    import subprocess\n\n    address = resolved(url)\n"
            "    subprocess.Popen(['sh', '-c', 'sleep 60; true', address])\n",
        ),
        by="test_signals.py::test_a_killed_driver_leaves_nothing_of_ray",
        with_ray=True,
        note="the guard is that no program is given it: one is put in",
    ),
    held(
        "keys stand in the place of checkpoints, which is printed and sent along",
        Cut("tuner/config.py", "    if keys:\n", "    if False:\n"),
        by="test_config.py::test_bad_keys_and_values_are_named",
    ),
    held(
        "variables of the environment are kept with a run",
        Cut(
            "tuner/environment.py",
            '        "revision": _revision(),\n',
            '        "revision": _revision(),\n        "variables": dict(__import__("os").environ),\n',
        ),
        by="test_security.py::test_nothing_of_the_environment_is_kept_of_a_run",
        note="the guard is that nothing takes them: they are put in",
    ),
    held(
        "others may read a run's sweep file that holds a webhook",
        Cut("tuner/sweep.py", " or is_secret(config.on_end)", ""),
        by="test_webhook_url.py::test_a_url_that_stands_in_the_file_itself_is_for_its_owners_eyes_alone",
    ),
    held(
        "others may read a run's sweep file that holds a password",
        Cut("tuner/sweep.py", "private = holds_password(config.storage) or ", "private = "),
        by="test_security.py::test_a_sweep_file_with_a_password_is_for_its_owners_eyes_alone",
    ),
    held(
        "others may read a Slurm job's copy that holds a password or a webhook",
        Cut(
            "tuner/commands_slurm.py",
            "private = holds_password(config.storage) or is_secret(config.on_end)",
            "private = False",
        ),
        by=(
            "test_slurm.py::test_job_has_a_sweep_file_of_its_own",
            "test_slurm.py::test_a_copy_that_holds_a_webhook_is_its_owners",
        ),
    ),
    held(
        "others may read such a file while it is written",
        Cut("trainables/whole_file.py", "temporary.touch(mode=0o600)", "temporary.touch()"),
        by="test_files.py::test_a_private_file_is_its_owners_alone",
    ),
    held(
        "a password travels with a submitted job",
        never("tuner/submission.py", "holds_password(config.storage)"),
        by="test_submission.py::test_what_a_cluster_could_not_use_is_refused",
    ),
    held(
        "a webhook travels with a submitted job",
        never("tuner/submission.py", "is_secret(config.on_end)"),
        by="test_submission.py::test_what_a_cluster_could_not_use_is_refused",
    ),
    held(
        "a cluster's token is printed with what holds it",
        Cut("cluster/token.py", "secret: str = field(repr=False)", "secret: str"),
        by=(
            "test_token.py::test_it_is_not_shown",
            "test_job_server.py::test_one_that_asks_for_a_token_gets_ours",
        ),
    ),
    held(
        "a cluster's token is sent to whoever answers",
        Cut("cluster/token.py", "answer = ask(None)", "answer = None"),
        by="test_job_server.py::test_a_dashboard_that_lets_anybody_in_gets_no_token",
    ),
    held(
        "others may read the token in the home folder, as Ray leaves it",
        Cut("cluster/token.py", "        if mode & 0o077:\n", "        if False:\n"),
        by="test_token.py::test_the_one_at_home_becomes_its_owner_s_alone",
    ),
    held(
        "a password in a cluster's address is repeated",
        never("cluster/job_server.py", "parts.username or parts.password"),
        by="test_job_server.py::test_an_address_with_a_password_is_not_repeated",
    ),
    held(
        "the token is copied into what is written for Prometheus",
        Cut(
            "cluster/monitoring.py",
            '"credentials_file": str(server.token.file.absolute())',
            '"credentials": server.token.secret',
        ),
        by="test_monitoring.py::test_prometheus_asks_the_dashboard_with_the_token_of_a_file",
    ),
)
