"""Results as one table."""


def table(results):
    """A line for each workload: times, the ratio to the fastest peer with its interval, then memory and starts."""
    lines = [f"{'workload':<20}{'Weft, ms':>10}  {'fastest peer':<13}{'ms':>9}{'ratio':>7}  {'interval':<14}{'memory':>7}{'start, s':>9}  others"]
    for result in results:
        ours, peers = result.get("ours", {}), result["peers"]
        measured = {name: row for name, row in peers.items() if "ratio" in row}
        ranked = sorted(measured, key=lambda name: measured[name]["ratio"]["median"])
        name = f"{result['workload']:<20}"
        if not ranked:
            lines.append(f"{name}{ours.get('ms', {}).get('median', 0):>10.2f}  no peer was measured")
            continue
        row = measured[ranked[0]]
        low, high = row["interval"]
        memory = ours["memory_mb"] / row["memory_mb"] if "memory_mb" in ours else float("nan")
        others = [f"{other} {measured[other]['ratio']['median']:.2f}" for other in ranked[1:]]
        others += [f"{other} failed" for other, found in peers.items() if "failed" in found]
        others += [f"{other} DIFFERS by {found['difference']:.1e}" for other, found in measured.items() if not found["agrees"]]
        others += [f"{100 * value['median']:.1f} % of {key[9:]}" for key, value in ours.items() if key.startswith("share_of_")]
        lines.append(
            f"{name}{row['weft_ms']['median']:>10.2f}  {ranked[0]:<13}{row['ms']['median']:>9.2f}{row['ratio']['median']:>7.3f}  "
            f"{f'{low:.3f}–{high:.3f}':<14}{memory:>7.2f}{ours.get('start_s', float('nan')):>9.2f}  {', '.join(others)}"
        )
    lines.append("ratio: the peer's time ÷ Weft's; interval: of its median, 95 %; memory: Weft's peak ÷ the peer's; start: of `weft` to the first result")
    return "\n".join(lines)
