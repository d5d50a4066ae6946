# Runs tests of CPython and writes a line of each into a file, as they end: cpython.py FILE NAME...
# (what they print, and what their children print, may mix in any order).
import os, sys, unittest

out = sys.argv[1]


class Result(unittest.TextTestResult):
    def told(self, test, outcome):
        # a directory of its own is the working directory; descriptors are what some tests count
        with open(out, "a") as file:
            file.write(f"{test.id()}\t{outcome}\n")

    def startTest(self, test):
        super().startTest(test)
        self.parts = 0  # failed ones

    def addSuccess(self, test):
        super().addSuccess(test)
        self.told(test, "ok")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.told(test, "fail")

    def addError(self, test, error):
        super().addError(test, error)
        self.told(test, "error")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.told(test, "skip")

    def addExpectedFailure(self, test, error):
        super().addExpectedFailure(test, error)
        self.told(test, "ok")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.told(test, "fail")

    def addSubTest(self, test, part, error):
        super().addSubTest(test, part, error)
        if error is not None:
            self.parts += 1
            self.told(test, f"fail in part {self.parts}")


tests = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[2:])
result = unittest.TextTestRunner(resultclass=Result, verbosity=2).run(tests)
print(f"{result.testsRun} run")
sys.exit(not result.wasSuccessful())
