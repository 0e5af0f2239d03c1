"""Everything that makes a model: synthetic people, real pictures, teachers, students, reports."""
