"""`python -m hermes_train`: the command line, also as torchrun starts it."""

from hermes_train.cli import main

if __name__ == "__main__":
    main()
