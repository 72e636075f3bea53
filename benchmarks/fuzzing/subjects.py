"""All kinds of input that are tried."""

from fuzzing import archives, caches, files, images, models, small_files, studies
from fuzzing.guard import Subject

SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for module in (files, images, models, studies, small_files, caches, archives)
    for subject in module.SUBJECTS
}
