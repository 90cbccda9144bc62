"""Golden numbers for BatchTopK training: 200 steps of the released dictionary_learning's own BatchTopKTrainer.

Writes `dictionary_learning_batch_topk.safetensors` beside this file. The run, what is stored, and how the
package's BatchTopK differs from its TopK are in `dictionary_learning_topk.py`. Usage:
    python crates/rarefy/tests/golden/dictionary_learning_batch_topk.py
"""

import argparse

from dictionary_learning_topk import write


def main():
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=5, help="of data and weights; 5 keeps far from ties and has many dead")
    write(BatchTopKTrainer, BatchTopKTrainer.geometric_median, parser.parse_args().seed, True,
          "dictionary_learning_batch_topk.safetensors")


if __name__ == "__main__":
    main()
