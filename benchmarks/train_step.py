"""Training steps beside PyTorch's: `python benchmarks/train_step.py [NETWORK ...] [--no-compile] [--json FILE]`.

A step is forward, cross-entropy, backward and SGD with momentum, float32, by the plain public interface of both
libraries, on two cores. PyTorch runs eager in its default and in its channels-last layout, and compiled in the faster
of the two, which takes a minute or more a network; the best of the three counts. Results and gradients are compared
first. NETWORK may be a pattern, as '6blocks*'. The last two columns are the shares of the machine's limits that
tinytrain uses (roofline.py).
"""

from __future__ import annotations

from contenders import OURS, add_compiled, compare_with_best, measurements, steps_of, training_step
from measure import Rows, arguments_of, medians, print_rows, share_cores
from networks import chosen
from roofline import measure_limits, training_work


def main() -> None:
    parser = arguments_of(__doc__, rounds=7)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args()
    networks = chosen(options.networks)
    torch = share_cores()
    limits = measure_limits(torch)
    print(f"limits: {limits.flops / 1e9:.0f} GFLOP/s, {limits.bandwidth / 1e9:.1f} GB/s")
    rows: Rows = []
    for network in networks:
        steps = steps_of(training_step, network, torch=torch)
        if torch and not options.no_compile:
            add_compiled(steps, training_step, network)
        found = medians(measurements(steps), rounds=options.rounds, warmup=2)
        row: dict[str, object] = {"network": network.name, "batch": network.batch, **compare_with_best(found)}
        rows.append(row | limits.shares(training_work(network), found[OURS]))
    print_rows(rows, options.json)


if __name__ == "__main__":
    main()
