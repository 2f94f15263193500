"""Approvals: who decides whether a tool call may run, and how a person's decision gets to it."""

from iskra.approvals.chat import Reply, chat_text, parse_reply, question_text, speaks_russian
from iskra.approvals.policy import ApprovalPolicy
from iskra.approvals.service import ApprovalService

__all__ = [
    "ApprovalPolicy",
    "ApprovalService",
    "Reply",
    "chat_text",
    "parse_reply",
    "question_text",
    "speaks_russian",
]
