"""Multi-Krum from the paper (Blanchard et al., NeurIPS 2017), in Python's whole numbers and from no code of this repository.

Reads {"f": F, "updates": [[...], ...]} and prints {"scores": [...], "selected": [...], "aggregate": [...]}.
"""
import json
import sys

given = json.load(sys.stdin)
f, updates = given["f"], given["updates"]
n = len(updates)
scores = []
for i, u in enumerate(updates):
    squared = [sum((a - b) ** 2 for a, b in zip(u, v)) for j, v in enumerate(updates) if j != i]
    scores.append(sum(sorted(squared)[: n - f - 2]))
# A stable sort: of equal scores the lower index comes first.
selected = sorted(range(n), key=lambda i: scores[i])[: n - f]
aggregate = []
for column in zip(*(updates[i] for i in selected)):
    total, count = sum(column), len(column)
    size = (2 * abs(total) + count) // (2 * count)
    aggregate.append(size if total >= 0 else -size)
print(json.dumps({"scores": [str(s) for s in scores], "selected": selected, "aggregate": aggregate}))
