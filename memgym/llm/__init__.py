"""Language models: typed steps, the clients that carry them out, and what they cost.

Nothing here is loaded by ``import memgym``. It needs the extra ``llm``.

>>> from memgym.llm import RulesLLM, Step, StepModel
>>> class Text(StepModel):
...     text: str
>>> step = Step("shout", Text, Text, "Write the text in capitals.", rule=lambda x: Text(text=x.text.upper()))
>>> RulesLLM().run(step, Text(text="hello")).output
Text(text='HELLO')
"""

from memgym.llm.backends import LLM, ModelLLM, RulesLLM, StepRouter
from memgym.llm.budget import LLMBudget
from memgym.llm.cassette import Cassette
from memgym.llm.channels import strip_reserved
from memgym.llm.errors import (
    CassetteCorrupt,
    CassetteMiss,
    LLMBudgetExceeded,
    LLMError,
    LLMOutputInvalid,
    LLMRefused,
    LLMUnavailable,
)
from memgym.llm.judge import Judgement, LocomoJudge, LongMemEvalJudge, ToJudge
from memgym.llm.local import LocalClient
from memgym.llm.make import make_llm
from memgym.llm.messages import ChatMessage, Client, Completion, LLMRequest, ToolCall
from memgym.llm.openai_client import OpenAIClient
from memgym.llm.reader import LLMReader
from memgym.llm.steps import Step, StepModel, StepResult, load_prompt
from memgym.llm.usage import Ledger, Usage

__all__ = [
    "LLM",
    "Cassette",
    "CassetteCorrupt",
    "CassetteMiss",
    "ChatMessage",
    "Client",
    "Completion",
    "Judgement",
    "LLMBudget",
    "LLMBudgetExceeded",
    "LLMError",
    "LLMOutputInvalid",
    "LLMReader",
    "LLMRefused",
    "LLMRequest",
    "LLMUnavailable",
    "Ledger",
    "LocalClient",
    "LocomoJudge",
    "LongMemEvalJudge",
    "ModelLLM",
    "OpenAIClient",
    "RulesLLM",
    "Step",
    "StepModel",
    "StepResult",
    "StepRouter",
    "ToJudge",
    "ToolCall",
    "Usage",
    "load_prompt",
    "make_llm",
    "strip_reserved",
]
