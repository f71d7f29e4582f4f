"""Nodes that run code which comes with the item, or with the pipeline.

Neither is a sandbox: what they run can do what the process can. Where the code is not your own, run
them in a worker process with ``limits``, see docs/guide/workers.md.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from ..errors import DEPENDENCY_MISSING, VALUE_NOT_ACCEPTABLE, ConfigurationError, PipelineError
from ..node import Node
from ._convention import processed_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

__all__ = ["CodeExecutorNode", "SerializedClassExecutorNode"]

NO_RESULT = "No result variable set"
BUILTINS = (
    "abs all any bin bool bytes chr dict divmod enumerate filter float format frozenset hash hex int "
    "isinstance issubclass iter len list map max min next oct ord pow print range repr reversed round "
    "set slice sorted str sum tuple zip True False None "
    "ArithmeticError AttributeError Exception IndexError KeyError LookupError RuntimeError "
    "StopIteration TypeError ValueError ZeroDivisionError"
).split()
SAFE_MODULES = (
    "base64 collections datetime decimal fractions functools itertools json math random re statistics "
    "string time"
).split()


class CodeExecutorNode(Node):
    """Runs Python code and gives the value of its variable ``result``.

    An item ``{"code": …, "input": …}`` brings its code, and what the code finds as ``input_data``;
    either may be missing, as is all of it in the item None: then it is the parameter's. The result is
    ``{"executed_code", "input", "result", "processed_by", "node_config"}``; of code that fails,
    ``{"error", "code", "input", "processed_by"}``.

    Parameters
    ----------
    code : str or None
        For items without code.
    input_data
        For items without input.
    enable_safe_imports : bool
        Whether the code may import modules of the standard library that reach no file and no
        network: ``get_security_info()["allowed_modules"]``.
    enable_pickle, enable_cloudpickle : bool
        Whether the code may import ``pickle``, ``cloudpickle``.
    allowed_modules : list of str or None
        What it may import besides, with what is in them.

    Raises
    ------
    ConfigurationError
        ``allowed_modules`` is not a list of names.

    Notes
    -----
    The code sees a small set of builtins: none that opens files, imports or evaluates.
    """

    blocking = True
    stateless = True

    def __init__(
        self,
        code: str | None = None,
        input_data: Any = None,
        enable_safe_imports: bool = False,
        enable_pickle: bool = False,
        enable_cloudpickle: bool = False,
        allowed_modules: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.code = code
        self.input_data = input_data
        self.enable_safe_imports = enable_safe_imports
        self.enable_pickle = enable_pickle
        self.enable_cloudpickle = enable_cloudpickle
        self.allowed_modules = _names(allowed_modules)

    def _modules(self) -> list[str]:
        """Modules that the code may import."""
        modules = set(self.allowed_modules)
        modules.update(SAFE_MODULES if self.enable_safe_imports else ())
        modules.update(["pickle"] if self.enable_pickle else ())
        modules.update(["cloudpickle"] if self.enable_cloudpickle else ())
        return sorted(modules)

    def get_security_info(self) -> dict[str, Any]:
        """What the code may use; ``sandboxed`` is False always."""
        return {
            "sandboxed": False,
            "enable_safe_imports": self.enable_safe_imports,
            "enable_pickle": self.enable_pickle,
            "enable_cloudpickle": self.enable_cloudpickle,
            "allowed_modules": self._modules(),
            "allowed_builtins": sorted(BUILTINS),
        }

    def process(self, data: Any = None) -> dict[str, Any]:
        """Returns the result, or what was wrong."""
        item = {} if data is None else data
        if not isinstance(item, dict):
            error = f"Input must be None or a dict with 'code', not {type(data).__name__}"
            return self._error(error, self.code, data)
        code, given = item.get("code", self.code), item.get("input", self.input_data)
        if not isinstance(code, str) or not code.strip():
            return self._error("No code provided", code, given)
        space = {"__builtins__": self._builtins(), "__name__": "code", "input_data": given}
        try:
            exec(compile(code, f"<code of {self.name}>", "exec"), space)
        except Exception as error:
            return self._error(f"{type(error).__name__}: {error}", code, given)
        return {
            "executed_code": code,
            "input": given,
            "result": space.get("result", NO_RESULT),
            "processed_by": processed_by(self),
            "node_config": self.config,
        }

    def _error(self, error: str, code: Any, given: Any) -> dict[str, Any]:
        return {"error": error, "code": code, "input": given, "processed_by": processed_by(self)}

    def _builtins(self) -> dict[str, Any]:
        names = {name: getattr(builtins, name) for name in BUILTINS}
        names["__build_class__"] = builtins.__build_class__
        modules = self._modules()
        if modules:
            names["__import__"] = _importer(modules)
        return names


def _names(modules: Iterable[str] | None) -> list[str]:
    if modules is None:
        return []
    names = [] if isinstance(modules, str) else list(modules)
    if isinstance(modules, str) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(
            f"allowed_modules is {modules!r}, want a list of names of modules",
            code=VALUE_NOT_ACCEPTABLE,
        )
    return names


def _importer(modules: list[str]) -> Any:
    """An ``__import__`` that knows these modules, and what is in them."""

    def bounded_import(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Iterable[str] = (),
        level: int = 0,
    ) -> ModuleType:
        if level or not any(name == known or name.startswith(known + ".") for known in modules):
            raise ImportError(f"module '{name}' may not be imported, only {', '.join(modules)}")
        return __import__(name, None, None, tuple(fromlist or ()), 0)

    return bounded_import


class SerializedClassExecutorNode(Node):
    """Calls a method of an object that comes with the item, and gives the object back.

    An item is ``{"serialized_object", "method_name", "method_args", "method_kwargs"}``, the object by
    cloudpickle, in base64; the last two may be missing. It gives ``{"result",
    "updated_serialized_object", "processed_by"}``; where that fails ``{"error", "error_type",
    "method_name", "processed_by"}``.

    Notes
    -----
    To unpickle an object is to run its code: take items only from those whom you trust with that.
    """

    blocking = True
    stateless = True

    def initialize(self) -> Any:
        """Loads cloudpickle.

        Raises
        ------
        PipelineError
            E0309: it is not installed.
        """
        try:
            import cloudpickle  # noqa: F401
        except ImportError as error:
            raise PipelineError(
                f"node '{self.name}' needs the Python package 'cloudpickle', which is not installed",
                code=DEPENDENCY_MISSING,
                help="pip install cloudpickle",
            ) from error
        return super().initialize()

    def process(self, data: Any) -> dict[str, Any]:
        """Returns the result and the object as it is then, or what was wrong."""
        method_name = data.get("method_name") if isinstance(data, dict) else None
        try:
            result, updated = _call(data)
        except Exception as error:
            return {
                "error": str(error),
                "error_type": type(error).__name__,
                "method_name": method_name,
                "processed_by": processed_by(self),
            }
        return {
            "result": result,
            "updated_serialized_object": updated,
            "processed_by": processed_by(self),
        }


def _call(data: Any) -> tuple[Any, str]:
    """The method's result, and the object behind the call."""
    from base64 import b64decode, b64encode
    from inspect import iscoroutinefunction

    import cloudpickle

    if not isinstance(data, dict):
        raise TypeError(f"Input must be a dict, not {type(data).__name__}")
    for field in ("serialized_object", "method_name"):
        if not data.get(field):
            raise ValueError(f"Missing required field: {field}")
    target = cloudpickle.loads(b64decode(data["serialized_object"], validate=True))
    method = getattr(target, data["method_name"])
    if not callable(method) or iscoroutinefunction(method):
        raise TypeError(f"'{data['method_name']}' is no plain method of {type(target).__name__}")
    result = method(*data.get("method_args") or (), **data.get("method_kwargs") or {})
    return result, b64encode(cloudpickle.dumps(target)).decode("ascii")
