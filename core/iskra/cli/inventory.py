"""``iskra models``."""

from iskra.cli.terminal import DataDirOption, JsonOption, UrlOption, connect, show_json, show_table


def models(url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List everything that answers: agents, voices, aliases."""
    with connect(url, data_dir) as client:
        found = client.models()
    if as_json:
        show_json([model.model_dump(mode="json") for model in found])
    else:
        show_table(("model", "owned by"), ((model.id, model.owned_by) for model in found))
