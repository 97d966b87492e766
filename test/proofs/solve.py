"""Answers one query of halmos: yices if it does so at once, else bitwuzla.

yices is quick with most paths and comes to no end with some that compare sums of packed fields; bitwuzla decides those.
script/prove.mjs passes this to halmos as its solver.
"""

import subprocess
import sys

import bitwuzla

YICES = ["yices-smt2", "--smt2-model-format", "--bvconst-in-decimal"]
YICES_SECONDS = 3

PRODUCT = (
    "(define-fun f_evm_bvmul_256 ((x (_ BitVec 256)) (y (_ BitVec 256))) (_ BitVec 256) {})"
)
# The same function. What is owed is worked out by multiplying with a comparison, and a product of 256 by 256 bits is
# what a solver finds hardest.
SHORT = "(ite (= x (_ bv0 256)) (_ bv0 256) (ite (= x (_ bv1 256)) y (bvmul x y)))"


def main(path: str) -> None:
    with open(path, encoding="utf8") as file:
        query = file.read()
    with open(path, "w", encoding="utf8") as file:
        file.write(query.replace(PRODUCT.format("(bvmul x y)"), PRODUCT.format(SHORT)))
    try:
        quick = subprocess.run([*YICES, path], capture_output=True, text=True, timeout=YICES_SECONDS)
        if quick.stdout.startswith(("sat", "unsat")):
            print(quick.stdout, end="")
            return
    except subprocess.TimeoutExpired:
        pass
    options = bitwuzla.Options()
    options.set(bitwuzla.Option.PRODUCE_MODELS, True)
    # Prints "sat" with a model, "unsat" or "unknown" itself.
    bitwuzla.Parser(bitwuzla.TermManager(), options).parse(path, False, True)


main(sys.argv[1])
