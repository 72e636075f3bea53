"""What is started listens on this machine alone; what others reach asks for a token, or lets nothing be changed."""

from guarding.guard import Cut, held

RAY_UP = "cluster/ray_up.py"

GUARDS = (
    held(
        "the Ray of a sweep listens to the network",
        Cut("cluster/loopback.py", "        ray_constants.ENABLE_RAY_CLUSTER = False\n", "        pass\n"),
        by=(
            "test_loopback.py::test_only_while_it_starts",
            "test_loopback.py::test_a_ray_of_the_sweep_s_own_is_started_so",
        ),
    ),
    held(
        "the Ray of a sweep is started in another way",
        Cut("cluster/connect.py", "nullcontext() if address else on_loopback()", "nullcontext()"),
        by="test_loopback.py::test_a_ray_of_the_sweep_s_own_is_started_so",
    ),
    held(
        "optuna-dashboard listens to the network",
        Cut("tuner/study_server.py", 'HOST = "127.0.0.1"', 'HOST = "0.0.0.0"'),
        by="test_dashboard.py::test_it_listens_on_this_machine_alone",
    ),
    held(
        "whoever reaches optuna-dashboard changes studies",
        Cut("tuner/study_server.py", 'if environ["REQUEST_METHOD"] in READING:', "if True:"),
        by="test_dashboard.py::test_artifacts_are_read_and_nothing_beside_them",
    ),
    held(
        "pages of other sites read a study's pictures of patients",
        Cut("tuner/study_server.py", ' if name.lower() != "access-control-allow-origin"]', "]"),
        by="test_dashboard.py::test_artifacts_are_read_and_nothing_beside_them",
    ),
    held(
        "Prometheus listens to the network",
        Cut("cluster/monitoring.py", 'PROMETHEUS = "127.0.0.1:9090"', 'PROMETHEUS = "0.0.0.0:9090"'),
        by="test_monitoring.py::test_everything_listens_on_loopback_and_lies_in_the_folder",
    ),
    held(
        "Grafana, which asks for no login, listens to the network",
        Cut("cluster/monitoring.py", 'GRAFANA = "127.0.0.1:3000"', 'GRAFANA = "0.0.0.0:3000"'),
        by="test_monitoring.py::test_everything_listens_on_loopback_and_lies_in_the_folder",
    ),
    held(
        "a cluster on a lab's machines asks for no token",
        Cut(RAY_UP, "RAY_AUTH_MODE=token ray start", "ray start"),
        by="test_templates.py::test_onprem",
    ),
    held(
        "the dashboard of a cluster on a lab's machines listens to the network",
        Cut(RAY_UP, "--dashboard-host=127.0.0.1 ", "--dashboard-host=0.0.0.0 "),
        by="test_templates.py::test_onprem",
    ),
    held(
        "a cluster on AWS asks for no token",
        Cut(
            "cluster/templates/aws.yaml",
            "RAY_AUTH_MODE=token ray start --head --port=6379 --dashboard-host=127.0.0.1",
            "ray start --head --port=6379 --dashboard-host=127.0.0.1",
        ),
        by="test_templates.py::test_aws",
    ),
    held(
        "the dashboard of a cluster on AWS listens to the network",
        Cut("cluster/templates/aws.yaml", "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0"),
        by="test_templates.py::test_aws",
    ),
    held(
        "a cluster on Kubernetes asks for no token",
        Cut("cluster/templates/kuberay.yaml", "      mode: token\n", "      mode: disabled\n"),
        by="test_templates.py::test_kuberay",
    ),
    held(
        "a cluster that asks for no token is used without a word",
        Cut(
            "tuner/commands_cluster.py",
            '    if server.token is None:\n        say(f"Warning',
            '    if False:\n        say(f"Warning',
        ),
        by="test_commands_cluster.py::test_a_cluster_that_lets_anybody_in_is_warned_of",
    ),
)
