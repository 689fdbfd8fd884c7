"""A backend of one's own, as simple as it can be; its identity must not change."""


class Own:
    """Answers always the same."""

    def answer(self, request):
        return f"image anomaly score: 0.5; region 1: 0.{request.options['n_regions'] % 10}."
