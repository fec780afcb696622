import torch

from digits.model import FromColumns, Network


def test_columns_become_a_digit_and_its_probabilities():
    columns = torch.randint(0, 17, (64, 5)).float()
    digit, probabilities = FromColumns(Network().eval())(list(columns))
    assert digit.shape == (5,)
    assert torch.allclose(probabilities.sum(1), torch.ones(5))
