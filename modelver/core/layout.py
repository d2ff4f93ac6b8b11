"""Where a model's files lie in a user's repository. Pure."""

from dataclasses import dataclass

DVC_YAML = "dvc.yaml"
DVC_LOCK = "dvc.lock"
PARAMS = "params.yaml"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one model, relative to the repository's root."""

    model: str

    @property
    def folder(self) -> str:
        """``models/NAME``."""
        return f"models/{self.model}"

    @property
    def sidecar(self) -> str:
        """The metadata sidecar."""
        return f"{self.folder}/metadata.yaml"

    @property
    def card(self) -> str:
        """The model card."""
        return f"{self.folder}/README.md"

    @property
    def tensors(self) -> str:
        """The tensor manifest."""
        return f"{self.folder}/tensors.jsonl"

    @property
    def files(self) -> str:
        """The file manifest."""
        return f"{self.folder}/files.jsonl"

    @property
    def source(self) -> str:
        """Where the weights come from: written by `stage export` or `add`."""
        return f"{self.folder}/source.json"

    @property
    def validation(self) -> str:
        """The numbers and verdicts of `stage validate`."""
        return f"{self.folder}/validation.json"

    @property
    def scores(self) -> str:
        """The metrics of `stage validate` as rows, overall and by slice: what `dvc plots` draws."""
        return f"{self.folder}/scores.json"

    @property
    def assessment(self) -> str:
        """What `stage assess` found."""
        return f"{self.folder}/assessment.json"

    @property
    def variants(self) -> str:
        """The folder of the variants, one folder each."""
        return f"{self.folder}/variants"

    @property
    def variants_record(self) -> str:
        """What `stage optimize` made, and its verdicts."""
        return f"{self.folder}/variants.json"

    @property
    def variants_latency(self) -> str:
        """What `stage optimize` measured: differs from run to run, so no stage declares it."""
        return f"{self.folder}/variants-latency.json"

    @property
    def weights(self) -> str:
        """The weights of a pipeline or ingested model."""
        return f"{self.folder}/weights"

    @property
    def gitignore(self) -> str:
        """DVC's list of what it tracks here."""
        return f"{self.folder}/.gitignore"

    def generated(self) -> list[str]:
        """What modelver and DVC write for this model alone; `tag` commits these, and never anything else."""
        return [
            self.sidecar,
            self.tensors,
            self.files,
            self.source,
            self.validation,
            self.scores,
            self.assessment,
            self.variants_record,
            self.variants_latency,
            self.gitignore,
            self.weights + ".dvc",
        ]
