"""What stands on what in a block: facts, steps, and the paths between them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from iskra_chaos.sift.analysis import EdgeKind
from iskra_chaos.sift.connectives import Argument, argument_in
from iskra_chaos.sift.likeness import is_same, stem_set
from iskra_chaos.sift.markers import Statement

SEARCHED = 120
"""Facts, and steps, whose words are compared; those after them count by their marks alone."""


@dataclass(frozen=True, slots=True)
class Support:
    """One thing that a step needs: any one of ``alternatives`` will do."""

    alternatives: tuple[str, ...]
    kind: EdgeKind


@dataclass(frozen=True, slots=True)
class ArgumentGraph:
    """Facts and steps by id, and what each step needs to stand.

    A step stands when each of its supports does, and it has at least one; a circle stands on nothing.
    """

    facts: Mapping[str, Statement]
    steps: Mapping[str, Statement]
    supports: Mapping[str, tuple[Support, ...]]

    def standing(self, held: Iterable[str]) -> frozenset[str]:
        """Return the steps that stand when just these facts hold: the least fixed point."""
        holding = set(held)
        waiting = [step for step in self.steps if self.supports[step]]
        while True:
            risen = [step for step in waiting if self._stands(step, holding)]
            if not risen:
                return frozenset(holding & self.steps.keys())
            holding.update(risen)
            waiting = [step for step in waiting if step not in holding]

    def _stands(self, step: str, holding: set[str]) -> bool:
        return all(holding.intersection(support.alternatives) for support in self.supports[step])

    def edges(self) -> list[tuple[str, str, EdgeKind]]:
        """Return (what supports, what is supported, how it is known), in the order of the steps."""
        return [
            (source, step, support.kind)
            for step, supports in self.supports.items()
            for support in supports
            for source in support.alternatives
        ]

    def cycles(self) -> list[list[str]]:
        """Return the groups of steps that stand on one another (Tarjan's strongly connected components)."""
        targets: dict[str, list[str]] = defaultdict(list)
        for source, target, _ in self.edges():
            if source in self.steps:
                targets[source].append(target)
        groups = _strongly_connected(list(self.steps), targets)
        return [group for group in groups if len(group) > 1 or group[0] in targets[group[0]]]


def argument_graph(facts: Sequence[Statement], steps: Sequence[Statement]) -> ArgumentGraph:
    """Connect steps to what they stand on.

    A step that names ids is taken at its word. For others, each premise in the sentence is looked for among the facts
    and the conclusions of other steps; "therefore" at the start leans on the step before; a step that joins nothing is
    looked for among the facts as a whole.
    """
    arguments = {step.id: argument_in(step.text) for step in steps}
    index = _Index()
    for fact in facts[:SEARCHED]:
        index.add(fact.id, fact.text)
    for step in steps[:SEARCHED]:
        argument = arguments[step.id]
        index.add(step.id, argument.conclusion if argument else step.text)
    known = {statement.id for statement in (*facts, *steps)}
    supports: dict[str, tuple[Support, ...]] = {}
    for position, step in enumerate(steps):
        before = steps[position - 1].id if position else ""
        cited = tuple(Support((name,), "cited") for name in step.references if name in known)
        is_searched = position < SEARCHED and not cited
        supports[step.id] = tuple(_found(step, arguments[step.id], before, index)) if is_searched else cited
    return ArgumentGraph({fact.id: fact for fact in facts}, {step.id: step for step in steps}, supports)


def _found(step: Statement, argument: Argument | None, before: str, index: "_Index") -> list[Support]:
    if argument is None:
        same = [name for name in index.like(step.text) if name.startswith("f")]
        return [Support(tuple(same), "inferred")] if same else []
    if argument.leans_back:
        return [Support((before,), "next")] if before else []
    return [Support(tuple(same), "inferred") for premise in argument.premises if (same := index.like(premise))]


class _Index:
    """Statements by their stems, so that only those with a common one are compared."""

    def __init__(self) -> None:
        self._stems: dict[str, frozenset[str]] = {}
        self._holders: dict[str, list[str]] = defaultdict(list)

    def add(self, name: str, text: str) -> None:
        self._stems[name] = stem_set(text)
        for stem in self._stems[name]:
            self._holders[stem].append(name)

    def like(self, text: str) -> list[str]:
        wanted = stem_set(text)
        candidates = dict.fromkeys(name for stem in sorted(wanted) for name in self._holders[stem])
        return [name for name in candidates if is_same(wanted, self._stems[name])]


def _strongly_connected(nodes: Sequence[str], targets: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Tarjan, "Depth-first search and linear graph algorithms" (1972), without recursion."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    open_nodes: list[str] = []
    groups: list[list[str]] = []
    for root in nodes:
        if root in order:
            continue
        order[root] = low[root] = len(order)
        open_nodes.append(root)
        path = [(root, iter(targets.get(root, ())))]
        while path:
            node, following = path[-1]
            for target in following:
                if target not in order:
                    order[target] = low[target] = len(order)
                    open_nodes.append(target)
                    path.append((target, iter(targets.get(target, ()))))
                    break
                if target in open_nodes:
                    low[node] = min(low[node], order[target])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == order[node]:
                    cut = open_nodes.index(node)
                    groups.append(sorted(open_nodes[cut:], key=order.__getitem__))
                    del open_nodes[cut:]
    return groups
