"""The signs by which the request filters know markup, code, maths, an assistant's voice and missing material."""

from __future__ import annotations

import re

MARKUP = re.compile(r"\n|\*\*|__|^\s*[-*•#>]|^\s*\d+[.)]\s|\||~~|<[a-z/!]", re.IGNORECASE)
ADDRESS = re.compile(r"https?:|www\.|\b[\w.+-]+@[\w-]+\.\w|\b[\w-]+\.(?:com|org|net|io|edu|gov)\b", re.IGNORECASE)

CODE_SIGN = re.compile(
    r"`|[{}\[\]\\]|==|!=|->|=>|&&|\w\(\)|\b\w+_\w+\b|\b0x\w|\bC(?:\+\+|#)|\b\w+\.(?:py|js|css|html|txt|csv)\b"
)
CODE_WORD = re.compile(
    r"\b(?:python|javascript|java|typescript|html|css|sql|mysql|php|ruby on rails|json|xml|regex|numpy|pandas|pytorch|"
    r"tensorflow|node\.?js|react (?:native|component|app)|github|apis?|linux|bash|unix|algorithms?|pseudo-?code|"
    r"(?:source|sample|example) code|code snippets?|data ?frames?|data ?sets?|spreadsheets?|compilers?|for loops?|"
    r"program (?:that|to|for|which|in)|code (?:to|for|that|which|in)|binary trees?|linked lists?|"
    r"(?:write|create|provide|implement|need|fix|debug|run)\b.{0,30}\b(?:code|function))\b",
    re.IGNORECASE,
)

LATEX = re.compile(
    r"\\[a-zA-Z(\[]|\$[^$\d][^$]*\$|\^|\w\s?=\s?\S|[∑∫√π≤≥≠×÷∞θ]|\d\s?[*+/]\s?\d|\b\d+[xyzn]\b|\b[fgh]\([xyt]\)"
)
MATHS_WORD = re.compile(
    r"\b(?:equations?|integrals?|derivatives?|polynomials?|matrix|matrices|eigen\w+|theorem|logarithms?|trigonometr\w+|"
    r"hypotenuse|quadratic|cosine|sine|factorial|permutations?|square roots?|cube roots?|prime factor\w*|denominator|"
    r"numerator|standard deviation|probability (?:of|that|distribution)|solve for|calculus|algebraic|arithmetic|"
    r"coordinates?|perimeter|circumference|radius|isosceles|right triangle|sum of (?:the|all|two)|divisible|divided by|"
    r"greatest common|least common|geometric (?:mean|sequence|series)|average of|(?:calculate|compute) the|"
    r"how many .* (?:left|total|altogether))\b",
    re.IGNORECASE,
)

ASSISTANT = re.compile(
    r"^(?:sure|certainly|of course|absolutely|here (?:is|are)|here's|great question|you're welcome|the answer is)\b|"
    r"^(?:answer|question|q|a|input|output|response|user|instructions?)\s?:|"
    r"^i(?:'d| would) be (?:happy|glad)|^i(?:'m| am) (?:happy|glad|here|ready) to (?:help|assist)|"
    r"\b(?:how|what) (?:can|may) i (?:help|assist|do for) you|\bsmollm\b|"
    r"\b(?:as|i'm|i am) an? (?:ai|artificial intelligence|(?:large )?language model|chatbot)\b",
    re.IGNORECASE,
)

MISSING = re.compile(
    r"[:;,]$|\[.*\]|\b(?:following|given|provided|below|above|attached)\b.{0,20}\b(?:text|sentences?|paragraphs?|passage|"
    r"article|words?|list|data|information|statements?|story|questions?|code|table|image|input|prompt|instructions?)\b|"
    r"\b(?:this|the) (?:sentence|paragraph|passage|article|image|picture|text|graph|chart|document)\b",
    re.IGNORECASE,
)
EDIT = re.compile(
    r"^(?:please )?(?:can you |could you )?(?:rewrite|rephrase|paraphrase|proofread|edit|correct|translate)\b",
    re.IGNORECASE,
)

ASKS = re.compile(
    r"\?|^(?:please |now |okay |ok |hey |hi |hello |so )?(?:act|advise|analyze|answer|ask|be|brainstorm|build|choose|"
    r"come|compare|compose|consider|convince|create|define|demonstrate|describe|design|develop|discuss|draft|draw|evaluate|"
    r"explain|find|generate|give|guess|help|identify|illustrate|imagine|introduce|invent|justify|let|let's|list|make|"
    r"name|outline|pick|plan|play|predict|prepare|present|pretend|propose|provide|read|recommend|remind|role|say|share|"
    r"show|sing|solve|spell|suggest|summarize|talk|teach|tell|think|turn|use|walk|write)\b|"
    r"\b(?:i|i'm|i've|i'd|i'll|my|me|we|our|you|your)\b",
    re.IGNORECASE,
)

SAYABLE = re.compile(r"[A-Za-z0-9 ,.;:!?'\"()$£€%&°/–—-]+")
UNSAYABLE = re.compile(
    r"[A-Za-z]\d|\d[A-Za-z]{3}|[a-z][A-Z]|[A-Za-z]{22}|(.)\1{3}|[bcdfghjklmnpqrstvwxz]{7}",
)
