"""Focus: which part of the tree is seen at which level of detail. Pure planning on NumPy; positive score = expand."""

from mctool.focus.allocator import FocusAllocator
from mctool.focus.cover import plan_cover
from mctool.focus.positions import plan_positions
from mctool.focus.working_context import CollapseGroups, Node, Plan, WorkingContext

__all__ = ["CollapseGroups", "FocusAllocator", "Node", "Plan", "WorkingContext", "plan_cover", "plan_positions"]
