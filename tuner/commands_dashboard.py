"""`voxtune dashboard`: what there is to look at a sweep in a browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from tuner.command_options import RUN, RUNS, SWEEPS, Runs, sweep_names
from tuner.terminal import say

if TYPE_CHECKING:
    from tuner.announcement import RayDashboard
    from tuner.directory import SweepDirectory

app = typer.Typer()


@app.command(rich_help_panel=SWEEPS)
def dashboard(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=RUN, autocompletion=sweep_names)] = None,
    runs: Runs = RUNS,
    address: Annotated[
        str | None,
        typer.Option(help="Of a cluster's Ray dashboard, http://HEAD:8265; by default the sweep's driver's."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of optuna-dashboard; 0: any that is free.")] = 8080,
    grafana: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write what Prometheus and Grafana need for the cluster to DIR, and end."),
    ] = None,
) -> None:
    """Show a sweep in the browser: its curves in optuna-dashboard, its cluster in Ray's, its metrics in Grafana.

    Examples:

      voxtune dashboard heart

      voxtune dashboard --address http://HEAD:8265 --grafana monitoring
    """
    from tuner.directory import SweepDirectory
    from tuner.errors import UserError

    if run is None and address is None:
        raise UserError("name a sweep's RUN, or a cluster by --address http://HEAD:8265")
    directory = None if run is None else SweepDirectory.find(run, runs)
    if grafana is not None:
        _set_up_grafana(grafana, address or _address_here(directory))
    elif directory is None:
        _say_ray(str(address))
    else:
        from tuner.study_server import StudyServer

        server = StudyServer(directory, port=port)
        _say_ray_of(directory, address)
        say(f"optuna-dashboard: {server.url}\n  For looking, not for changing anything; Ctrl-C ends it.")
        server.serve()


def _say_ray_of(directory: "SweepDirectory", address: str | None) -> None:
    """Where Ray's dashboard is, as far as that can be said."""
    from cluster.errors import ClusterError
    from tuner.announcement import announced_dashboard

    if address is not None:
        _say_ray(address)
        return
    found = announced_dashboard(directory)
    if found is None:
        say("Ray dashboard: no driver works on this sweep, or it has none yet")
    elif not found.here:
        say(f"Ray dashboard: {found.url} on {found.host}; {_tunnel(found)}")
    else:
        try:
            _say_ray(found.url)
        except ClusterError as error:
            say(f"Ray dashboard: {error}")


def _say_ray(url: str) -> None:
    """Where Ray's dashboard is, and what it asks for. Raises ClusterError if it does not answer us."""
    from tuner.commands_cluster import find_server

    server = find_server(url)
    say(f"Ray dashboard: {server.url}")
    if server.token is not None:
        say(f"  It asks for a token, the one in {server.token.source}: paste what `ray get-auth-token` prints here.")


def _address_here(directory: "SweepDirectory | None") -> str:
    """The address of the Ray dashboard of the sweep's driver. Raises UserError if there is none on this machine."""
    from tuner.announcement import announced_dashboard
    from tuner.errors import UserError

    assert directory is not None
    found = announced_dashboard(directory)
    if found is None:
        raise UserError(
            f"--grafana: no driver works on {directory.root}, so it has no cluster now; name one by --address"
        )
    if not found.here:
        raise UserError(f"--grafana: the sweep's Ray dashboard is {found.url} on {found.host}: run this there")
    return found.url


def _set_up_grafana(folder: Path, address: str) -> None:
    from cluster.monitoring import GRAFANA, write_monitoring
    from tuner.commands_cluster import find_server

    commands = write_monitoring(folder, find_server(address))
    say(f"Wrote {folder}. Start both where the cluster's nodes can be reached, mostly on its head:")
    for command in commands:
        say(f"  {command}")
    say(f"Then open http://{GRAFANA}/d/voxtune")


def _tunnel(found: "RayDashboard") -> str:
    """How to reach a dashboard of another machine from this one."""
    port = urlsplit(found.url).port
    return f"from here: ssh -N -L {port}:127.0.0.1:{port} {found.host}, then http://localhost:{port}"
