"""Tests of the check of the project's wording."""

import pytest

from scripts.dev import check_style

# The check reads this file too, so the word is not written at the start of a sentence here.
WORD = "Whose"


@pytest.mark.parametrize(
    "text",
    [
        f"# {WORD} turn it is, the caller decides.\n",
        f"Some text. {WORD} turn it is, the caller decides.\n",
        f"    # A sentence before it. {WORD}\n    # turn it is, the caller decides.\n",
        f"/// A sentence before it. {WORD}\n/// turn it is, the caller decides.\n",
    ],
)
def test_check_style_sentence_that_begins_with_a_question_word_is_found(text: str) -> None:
    assert [sentence for _, sentence in check_style.findings(text)] == [
        "a sentence begins with 'Whose': name the subject"
    ]


@pytest.mark.parametrize(
    "text", [f"{WORD} turn is it?\n", f"# {WORD} turn\n\ntext.\n", "See whose turn it is.\n"]
)
def test_check_style_question_heading_and_clause_are_allowed(text: str) -> None:
    assert list(check_style.findings(text)) == []
