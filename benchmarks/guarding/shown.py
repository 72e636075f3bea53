"""Names of data sets, cases, labels and sweeps are text where they are shown: in pages, notebooks and terminals."""

from guarding.guard import Cut, held

PAGE, MARKDOWN = "tuner/html_page.py", "tuner/markdown.py"

HOSTILE_PAGE = "test_html_page.py::test_names_from_outside_do_nothing"
HOSTILE_MARKDOWN = "test_report.py::test_names_and_errors_can_not_break_the_page"

PAGES = (
    held(
        "names are tags in the report",
        Cut(PAGE, "autoescape=True", "autoescape=False"),
        by=HOSTILE_PAGE,
    ),
    held(
        "Markdown of others holds HTML",
        Cut(PAGE, '{"html": False}', '{"html": True}'),
        by=HOSTILE_PAGE,
    ),
    held(
        "Markdown of others has pictures fetched",
        Cut(PAGE, '.disable(["image", "autolink"])', ""),
        by="test_html_page.py::test_prose_has_nothing_fetched",
        note="the policy of the page would not have a browser fetch them",
    ),
    held(
        "names end the script that holds a chart",
        Cut(
            PAGE,
            r'Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))',
            "Markup(text)",
        ),
        Cut(
            PAGE,
            "    text = figure.to_json()\n",
            "    import json\n\n    from plotly.utils import PlotlyJSONEncoder\n\n"
            "    text = json.dumps(figure.to_plotly_json(), cls=PlotlyJSONEncoder)\n",
        ),
        by=HOSTILE_PAGE,
        note="plotly's own writer of JSON escapes too",
    ),
    held(
        "a browser runs other scripts on the report than ours, or fetches something",
        Cut(
            PAGE,
            "\"default-src 'none'; script-src {allowed} 'unsafe-eval'; ",
            "\"default-src *; script-src * 'unsafe-inline'; ",
        ),
        by=HOSTILE_PAGE,
    ),
    held(
        "names are tags in charts, which plotly would draw",
        Cut(
            "tuner/charts_text.py",
            "return html.escape(plain(text, longest=longest), quote=False)",
            "return plain(text, longest=longest)",
        ),
        by="test_charts.py::test_names_from_outside_are_no_markup",
    ),
    held(
        "names are tags in a notebook's table",
        Cut("tuner/notebook.py", "{escape(str(content))}", "{content}"),
        by="test_notebook.py::test_names_from_outside_are_no_markup",
    ),
    held(
        "names are tags in Markdown",
        Cut(MARKDOWN, '.replace("<", "&lt;").replace(">", "&gt;")', ""),
        by=HOSTILE_MARKDOWN,
    ),
    held(
        "names are Markdown: links, code, cells of a table",
        Cut(MARKDOWN, r'line = re.sub(r"([\\`*\[\]|~$])", r"\\\1", line)', "pass"),
        by=HOSTILE_MARKDOWN,
    ),
    held(
        "an artifact of a study is run by the browser that opens it",
        Cut("tuner/study_server.py", '("Content-Security-Policy", "sandbox"), ', ""),
        by="test_dashboard.py::test_artifacts_are_read_and_nothing_beside_them",
    ),
)

TERMINALS = (
    held(
        "names are obeyed by the terminal that shows tables and messages",
        Cut("tuner/inert.py", "if segment.control or segment.text.isprintable():", "if True:"),
        by=(
            "test_inert.py::test_names_are_shown_and_obeyed_by_no_terminal",
            "test_inert.py::test_complaints_are_inert_too",
        ),
    ),
    held(
        "names are obeyed by the terminal in which a report is read",
        Cut(MARKDOWN, 'line = inert(" ".join(str(text).split()))', 'line = " ".join(str(text).split())'),
        by="test_inert.py::test_a_report_in_markdown_is_inert_in_a_terminal",
    ),
    held(
        "messages of libraries are obeyed by the terminal",
        Cut(
            "tuner/quiet.py",
            "print(inert(self.format(record)), file=sys.stderr)",
            "print(self.format(record), file=sys.stderr)",
        ),
        by="test_quiet.py::test_no_message_is_obeyed_by_a_terminal",
    ),
    held(
        "a log is obeyed by the terminal that shows it",
        Cut(
            "tuner/commands_logs.py",
            'typer.echo(inert_but_coloured(file.read_text(encoding="utf-8", errors="replace")), nl=False)',
            'typer.echo(file.read_text(encoding="utf-8", errors="replace"), nl=False)',
        ),
        by="test_commands_logs.py::test_what_stands_in_a_log_is_obeyed_by_no_terminal",
    ),
    held(
        "a log that is followed is obeyed by the terminal",
        Cut("tuner/commands_logs.py", "typer.echo(inert_but_coloured(text), nl=False)", "typer.echo(text, nl=False)"),
        by="test_commands_logs.py::test_what_stands_in_a_log_is_obeyed_by_no_terminal",
    ),
)

GUARDS = (*PAGES, *TERMINALS)
