"""Answers one query of halmos: from what it knows already, else by yices if it soon knows, else by bitwuzla.

Paths of one function differ in where the money goes, and what refutes the failure of one refutes that of many. So of
each query without a solution the assertions that contradict each other are kept beside it, as text; a later query that
has all of them has no solution either. (halmos has such a memory of its own, but knows assertions by numbers, which z3
gives to other ones later.) script/prove.mjs passes this to halmos as its solver.
"""

import hashlib
import re
import resource
import subprocess
import sys
from pathlib import Path

import bitwuzla

YICES = ["yices-smt2", "--smt2-model-format", "--bvconst-in-decimal"]
# Of the processor's time: on a busy machine as many answers come as on an idle one.
YICES_SECONDS = 10

# halmos first asks without saying what a product is, and asks again if that was not enough. Saying it at once saves
# the first question. What is owed is worked out by multiplying with a comparison, and a product of 256 by 256 bits is
# what a solver finds hardest; so it is written as the choice that it is.
PRODUCT = re.compile(
    r"\((?:declare-fun f_evm_bvmul_256 \(\(_ BitVec 256\) \(_ BitVec 256\)\) \(_ BitVec 256\)"
    r"|define-fun f_evm_bvmul_256 [^\n]*\(bvmul x y\))\)"
)
CHOICE = (
    "(define-fun f_evm_bvmul_256 ((x (_ BitVec 256)) (y (_ BitVec 256))) (_ BitVec 256)"
    " (ite (= x (_ bv0 256)) (_ bv0 256) (ite (= x (_ bv1 256)) y (bvmul x y))))"
)


class Query:
    """A query in parts: what it declares, and each assertion with a name."""

    def __init__(self, path: Path) -> None:
        text = PRODUCT.sub(CHOICE, path.read_text(encoding="utf8")).split("(check-sat)")[0]
        self.head, *bodies = re.split(r"^\(assert\b", text, flags=re.MULTILINE)
        self.bodies = [body.strip().removesuffix(")") for body in bodies]
        declared = {line.split()[1]: line for line in self.head.splitlines() if line.startswith("(declare-fun ")}
        self.digests = [digest(body, declared) for body in self.bodies]

    def write(self, path: Path, *commands: str) -> None:
        named = (f"(assert (! {body} :named a{place}))" for place, body in enumerate(self.bodies))
        lines = ["(set-option :produce-unsat-cores true)", self.head, *named, "(check-sat)", *commands]
        path.write_text("\n".join(lines), encoding="utf8")


def digest(assertion: str, declared: dict[str, str]) -> str:
    """The same for the same assertion about the same names, whatever numbers its parts have in this query."""
    parts: dict[str, str] = {}
    text = re.sub(r"[?$]x\d+", lambda part: parts.setdefault(part[0], f"?{len(parts)}"), assertion)
    names = sorted({name for name in re.findall(r"[^\s()]+", text) if name in declared})
    return hashlib.sha256("\n".join([text, *(declared[name] for name in names)]).encode()).hexdigest()


def is_known(query: Query, memory: Path) -> bool:
    asserted = set(query.digests)
    cores = memory.read_text(encoding="utf8").splitlines() if memory.exists() else []
    return any(asserted.issuperset(core.split()) for core in cores)


def remember(query: Query, answer: str, memory: Path) -> None:
    core = re.search(r"\(((?:a\d+\s*)+)\)\s*$", answer)
    if core:
        digests = [query.digests[int(name[1:])] for name in core[1].split()]
        with memory.open("a", encoding="utf8") as file:
            file.write(" ".join(digests) + "\n")


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (YICES_SECONDS, YICES_SECONDS))


def yices(query: Query, path: Path) -> str:
    query.write(path, "(get-model)", "(get-unsat-core)")
    return subprocess.run([*YICES, path], capture_output=True, text=True, preexec_fn=limit).stdout


def bitwuzlas(query: Query, path: Path) -> str:
    """In a process of its own, because it prints its answer."""
    query.write(path, "(get-unsat-core)")
    answer = subprocess.run([sys.executable, __file__, path, "cores"], capture_output=True, text=True).stdout
    if not answer.startswith("sat"):
        return answer
    query.write(path, "(get-model)")
    return subprocess.run([sys.executable, __file__, path, "models"], capture_output=True, text=True).stdout


def print_bitwuzlas(path: str, what: str) -> None:
    options = bitwuzla.Options()
    options.set(bitwuzla.Option.PRODUCE_MODELS, what == "models")
    options.set(bitwuzla.Option.PRODUCE_UNSAT_CORES, what == "cores")
    bitwuzla.Parser(bitwuzla.TermManager(), options).parse(path, False, True)


def main(path: Path) -> None:
    query = Query(path)
    memory = path.parent / "contradictions"
    if is_known(query, memory):
        print("unsat")
        return
    answer = yices(query, path)
    if not answer.startswith(("sat", "unsat")):
        answer = bitwuzlas(query, path)
    if answer.startswith("unsat"):
        remember(query, answer, memory)
    print(answer)


if len(sys.argv) > 2:
    print_bitwuzlas(*sys.argv[1:])
else:
    main(Path(sys.argv[1]))
