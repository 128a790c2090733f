"""PRefLexOR: answers that were thought out with a book are preferred to one's own without it.

Paper: Buehler, "PRefLexOR: Preference-based Recursive Language Modeling for Exploratory Optimization of
Reasoning and Agentic Thinking", arXiv 2410.12375. Code: lamm-mit/PRefLexOR. Each round takes fresh questions
about random passages. A teacher reads what retrieval finds and writes a thought and an answer: the chosen one.
The rejected one is the policy's own answer, without the book. Phase I has no reference and learns both at once,

    L_I = -log p(chosen) / |chosen| - lambda log sigma(log odds(chosen) - log odds(rejected))        (ORPO)

phase II compares the answers only, masking all up to the last end of a thought, with the policy of phase I as
the reference, z = beta (log-ratio(chosen) - log-ratio(rejected)) and label smoothing e:

    L_II = s(z) (log s(z) - log(1 - e)) + s(-z) (log s(-z) - log e),   s the sigmoid                (EXO)

Changed: questions are drawn from the training tasks, whose answers nobody looks at, so that held-out ones stay
apart. `reader` is a teacher of rules: it makes a graph of the passages that BM25 finds, thinks of every fact
about the subject, and answers by the one that is asked for; any model of `teacher` takes its place. As the
paper's own option, a pair is left out if both give the same answer. Left out: rewriting thoughts at inference.

Expected: facts that were never asked for are answered without the book once they were thought of in other
answers; those of no passage stay at chance, and so does learning without thoughts.
Ablation `context = "none"`: the teacher answers without the book, and guesses.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.budget import Purpose
from sharpen.core.policy import Policy, PromptForm
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.curation.pairs import Pair, Pairs, Preferred, Span
from sharpen.curation.select import rewards_of, written
from sharpen.curation.thoughts import CLOSE, explained, thinks
from sharpen.learners.preference import Preference
from sharpen.learners.preference_losses import Shape
from sharpen.learners.reference import Reference
from sharpen.stores.knowledge import Library, asked_in, facts_about, graph_of
from sharpen.verifiers.answers import final_answer
