"""Word overlap in the variants that papers report; each is named after the harness whose rule it is.

On the same answers they differ by more than systems do: on LoCoMo's best extractive answers, `set_f1_amem` gives 69.2
where the benchmark's own F1 gives 77.8.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from memgym.errors import DependencyMissing

__all__ = ["bleu_1", "rouge_l", "set_f1_amem", "set_f1_memos", "treebank_words"]

AMEM_PUNCTUATION = str.maketrans(dict.fromkeys(".,!?", " "))


def set_f1_amem(prediction: str, gold: str) -> float:
    """F1 over sets of words as A-Mem's and Mem0's LoCoMo harnesses count it.

    Lower case; ``. , ! ?`` become spaces and nothing else is cut; no stems, no articles; a repeated word counts
    once. 0 where either side is empty.

    >>> set_f1_amem("The dog, the dog", "a dog.")
    0.5
    """
    return _set_f1(_amem_words(prediction), _amem_words(gold))


def set_f1_memos(prediction: str, gold: str) -> float:
    """F1 over sets of Penn Treebank tokens as MemOS's LoCoMo harness counts it; punctuation marks are tokens.

    Differs from the original as `treebank_words` does.

    >>> round(set_f1_memos("A dog.", "the dog."), 3)  # shares "dog" and "."
    0.667
    """
    return _set_f1(treebank_words(prediction), treebank_words(gold))


def bleu_1(prediction: str, gold: str) -> float:
    """BLEU-1 as A-Mem, Mem0 and MemOS report it: NLTK's ``sentence_bleu``, weights (1, 0, 0, 0), smoothing method 1.

    Tokens are those of `treebank_words`. With this smoothing no overlap gives a little more than 0; an empty
    answer or gold gives 0.

    >>> round(bleu_1("a small dog", "a dog"), 3)
    0.667
    """
    guess, wanted = treebank_words(prediction), treebank_words(gold)
    if not guess or not wanted:
        return 0.0
    bleu = _import_nltk("nltk.translate.bleu_score")
    smooth = bleu.SmoothingFunction().method1
    return float(bleu.sentence_bleu([wanted], guess, weights=(1, 0, 0, 0), smoothing_function=smooth))


def rouge_l(prediction: str, gold: str) -> float:
    """F-measure of ROUGE-L over Porter stems, as the ``rouge-score`` library counts it.

    >>> rouge_l("she walked home", "walking home")
    0.8
    """
    return float(_rouge().score(gold, prediction)["rougeL"].fmeasure)


def treebank_words(text: str) -> list[str]:
    """Lower-cased Penn Treebank tokens of a text taken as one sentence.

    The originals call ``nltk.word_tokenize``, which cuts sentences first with a model that has to be
    downloaded. Here a full stop that ends a sentence before the last stays on its word.

    >>> treebank_words("Yes, she's here.")
    ['yes', ',', 'she', "'s", 'here', '.']
    """
    return _tokenizer().tokenize(text.lower())


def _amem_words(text: str) -> list[str]:
    return text.lower().translate(AMEM_PUNCTUATION).split()


def _set_f1(guess: Collection[str], gold: Collection[str]) -> float:
    guess, gold = set(guess), set(gold)
    overlap = len(guess & gold)
    return 2 * overlap / (len(guess) + len(gold)) if overlap else 0.0


def _import_nltk(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise DependencyMissing.for_extra("nltk", "data", "BLEU-1 and MemOS's F1") from None


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    return _import_nltk("nltk.tokenize.destructive").NLTKWordTokenizer()


@lru_cache(maxsize=1)
def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ModuleNotFoundError:
        raise DependencyMissing.for_extra("rouge-score", "data", "ROUGE-L") from None
    return RougeScorer(["rougeL"], use_stemmer=True)
