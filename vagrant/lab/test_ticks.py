import unittest

from .ticks import Book


def book(*lives):
    result = Book()
    for node, pid, ticks in lives:
        for tick in ticks:
            result.take(tick, f"tick {node} {pid} {pid} 0 0")
    return result


class Judging(unittest.TestCase):
    def test_one_after_the_other_leaves_a_gap_and_two_at_once_an_overlap(self):
        after = book(("a", 1, [0, 10]), ("b", 2, [50, 90]))
        self.assertEqual((after.gap(1, 80, {}), after.overlap(1, {})), (40, 0))
        beside = book(("a", 1, [0, 60]), ("b", 2, [50, 90]))
        self.assertEqual((beside.gap(1, 80, {}), beside.overlap(1, {})), (0, 10))

    def test_a_frozen_machine_does_not_run_and_a_thawed_one_does(self):
        lives = book(("a", 1, [0, 10, 100, 103]), ("b", 2, [50, 200]))
        self.assertEqual(lives.overlap(0, {"a": [(11, 99)]}), 4)
        self.assertEqual(lives.gap(0, 200, {"a": [(11, 99)]}), 39)

    def test_a_cluster_that_never_comes_back_is_one_long_gap(self):
        self.assertEqual(book(("a", 1, [0, 10])).gap(0, 100, {}), 90)


if __name__ == "__main__":
    unittest.main()
