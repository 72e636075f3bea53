"""All kinds of input that are tried."""

from fuzzing import archives, caches, files, images, models, studies
from fuzzing.guard import Subject

SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for module in (files, images, models, studies, caches, archives)
    for subject in module.SUBJECTS
}
