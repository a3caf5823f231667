"""Coefficients of the vector mathematics, lowest power first; tools/fit_coefficients.py wrote them."""

from __future__ import annotations


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float.fromhex(word) for word in text.split())


# fmt: off
COEFFICIENTS: dict[tuple[str, int], tuple[float, ...]] = {   # (name, bits of the format)
    ("exp", 64): _numbers(   # error 2^-58.0
        "0x1.000000000000cp-1 0x1.5555555555561p-3 0x1.555555554fffap-5 0x1.111111110d4f6p-7 "
        "0x1.6c16c185b4b1ap-10 0x1.a01a01bb47b5ep-13 0x1.a019966c0014fp-16 0x1.71dddefb0ca75p-19 "
        "0x1.28b07062b70c1p-22 0x1.af86b93a81240p-26"
    ),
    ("exp", 32): _numbers(   # error 2^-28.2
        "0x1.0000000000000p-1 0x1.55548e0000000p-3 0x1.55545e0000000p-5 0x1.123b920000000p-7 "
        "0x1.6db4840000000p-10"
    ),
    ("atanh", 64): _numbers(   # error 2^-53.0
        "0x1.5555555556190p-2 0x1.99999996a1b54p-3 0x1.24924b1739e09p-3 0x1.c71b3c0cfbda5p-4 "
        "0x1.74905c270fc2bp-4 0x1.3672209add867p-4 0x1.4793bdcb135eap-4"
    ),
    ("atanh", 32): _numbers(   # error 2^-27.0

        "0x1.55561c0000000p-2 0x1.98e26e0000000p-3 0x1.3c41680000000p-3"
    ),
    ("sin", 64): _numbers(   # error 2^-61.6
        "-0x1.5555555555555p-3 0x1.11111111110c0p-7 -0x1.a01a01a0147bap-13 0x1.71de3a5280a19p-19 "
        "-0x1.ae6454c7f8bf3p-26 0x1.6123ca4a2a85cp-33 -0x1.ae42e214d1ca8p-41 0x1.88233752711f6p-49"
    ),
    ("sin", 32): _numbers(   # error 2^-27.3

        "-0x1.55554c0000000p-3 0x1.110ed00000000p-7 -0x1.9f6f500000000p-13 0x1.5db3b60000000p-19"
    ),
    ("asin", 64): _numbers(   # error 2^-59.9
        "0x1.5555555555577p-3 0x1.333333332e101p-4 0x1.6db6db72142ebp-5 0x1.f1c71a94638dap-6 "
        "0x1.6e8bdeedfe016p-6 0x1.1c49ef809ce33p-6 0x1.ca1fa02beb75cp-7 0x1.7584fc9392031p-7 "
        "0x1.613f6bd22de90p-7 0x1.e5ccd7904a964p-9 0x1.63a81f9f3ad9bp-6 -0x1.580d294182ac0p-6 "
        "0x1.0b4b6922e9c73p-5"
    ),
    ("asin", 32): _numbers(   # error 2^-31.8
        "0x1.55554c0000000p-3 0x1.33387c0000000p-4 0x1.6caf000000000p-5 0x1.0490580000000p-5 "
        "0x1.d930340000000p-7 0x1.3350e80000000p-5"
    ),
    ("atan", 64): _numbers(   # error 2^-60.5
        "-0x1.5555555555535p-2 0x1.999999998ae12p-3 -0x1.24924912a7e38p-3 0x1.c71c5d14ad822p-4 "
        "-0x1.7456af5596ad8p-4 0x1.39fba84a83a00p-4 -0x1.f0151ba6666cep-5"
    ),
    ("atan", 32): _numbers(   # error 2^-30.7

        "-0x1.55553a0000000p-2 0x1.99698a0000000p-3 -0x1.18cb500000000p-3"
    ),
    ("sinh", 64): _numbers(   # error 2^-61.7
        "0x1.5555555555559p-3 0x1.111111110f6bdp-7 0x1.a01a01afe1204p-13 0x1.71ddf859640f0p-19 "
        "0x1.af5ebc07403c9p-26"
    ),
    ("sinh", 32): _numbers(   # error 2^-37.5

        "0x1.5555560000000p-3 0x1.1110b20000000p-7 0x1.a16fd20000000p-13"
    ),
    ("cosh", 64): _numbers(   # error 2^-58.0
        "0x1.000000000000cp-1 0x1.555555554ff59p-5 0x1.6c16c185cfecfp-10 0x1.a019962f3095cp-16 "
        "0x1.28b0a091a5bc2p-22"
    ),
    ("cosh", 32): _numbers(   # error 2^-34.3

        "0x1.0000000000000p-1 0x1.55547e0000000p-5 0x1.6d97e00000000p-10"
    ),
    ("gamma1", 64): _numbers(   # error 2^-62.0
        "-0x1.2788cfc6fb619p-1 0x1.a51a6625307d3p-1 -0x1.9a4d55beab2d0p-2 0x1.151322ac7d7e1p-2 "
        "-0x1.a8b9c17aa8016p-3 0x1.5b40cb101a592p-3 -0x1.2703a1db2a9a4p-3 0x1.010b36aa20af9p-3 "
        "-0x1.c80672129a815p-4 0x1.9a01e3d700d1cp-4 -0x1.748bc2415beffp-4 0x1.556bbadf8d064p-4 "
        "-0x1.3b2ee6128e027p-4 0x1.244f9bc41f829p-4 -0x1.0fbaa63e6d99bp-4 0x1.09ecb56073e74p-4 "
        "-0x1.e953f74d95c97p-5 0x1.a18a793a3f774p-7 -0x1.24e024f0a7f81p-3 0x1.4c167f1a781e8p-2 "
        "0x1.7a05047c648a0p+0 0x1.aa5c4d304d385p+0 -0x1.5de7fbd512777p+2 -0x1.52a30f593771cp+4 "
        "-0x1.051704873192dp+5 -0x1.9551b84d74887p+4 -0x1.0d979c22ffb7ap+3"
    ),
    ("gamma2", 64): _numbers(   # error 2^-64.0
        "0x1.b0ee6072093cep-2 0x1.4a34cc4a60fa6p-2 -0x1.13e001a557607p-4 0x1.51322ac7d84d4p-6 "
        "-0x1.e404fc218f722p-8 0x1.7add6eada9a50p-9 -0x1.38ac5c2bb4687p-10 0x1.0b36af8d1786fp-11 "
        "-0x1.d3fd4cf0e4be8p-13 0x1.a127ae872d6fep-14 -0x1.78de30caba3d4p-15 0x1.580d7b72c059ap-16 "
        "-0x1.3cc1e4397fe39p-17 0x1.25bcff629be01p-18 -0x1.11e5d3fe185e8p-19 0x1.fcae8950d8fc5p-21 "
        "-0x1.c62b94c38052ep-22 0x1.6957ce70d4f67p-23 -0x1.c7e40716d791fp-25 0x1.824e7dec6637bp-27 "
        "-0x1.3eed125c53d58p-30"
    ),
    ("gamma_least", 64): _numbers(   # error 2^-59.4
        "0x1.ef72bc8ee38b2p-2 -0x1.2e4278dc6be50p-3 0x1.08b4294d4de6cp-4 -0x1.0c9a8df48f6abp-5 "
        "0x1.266e797e5ab85p-6 -0x1.51f9fa06f0417p-7 0x1.8fcdff224b30ep-8 -0x1.e2f125fa65504p-9 "
        "0x1.2831db7c465f3p-9 -0x1.6faf60188f1b6p-10 0x1.cc4d4ca39af45p-11 -0x1.20077986ed140p-11 "
        "0x1.7221f4b2ad436p-12 -0x1.0f32da821fd91p-12 0x1.3f034c9454d5bp-13"
    ),
    ("stirling", 64): _numbers(   # error 2^-63.2
        "0x1.5555555555516p-4 -0x1.6c16c169f30e2p-9 0x1.a019f4be91939p-11 -0x1.380a58c2f62d6p-11 "
        "0x1.b5f2d669d0c45p-11 -0x1.a5cc2b3165469p-10"
    ),
    ("digamma", 64): _numbers(   # error 2^-59.0
        "0x1.9213d46736ba4p-1 -0x1.0aff270ca07a8p-2 0x1.be76b26db806dp-4 -0x1.95ec0c3ba92bfp-5 "
        "0x1.802924f9a4c66p-6 -0x1.7389aa80b3238p-7 0x1.6bdf5e1b53864p-8 -0x1.6714cfd662d9dp-9 "
        "0x1.64075fd0cf5cdp-10 -0x1.620f086dbea35p-11 0x1.60c6933710c2fp-12 -0x1.5feee7c137904p-13 "
        "0x1.5f60efd893f1fp-14 -0x1.5f0b916f87114p-15 0x1.5ed138a86ec48p-16 -0x1.5e2b671b97180p-17 "
        "0x1.5de5298e65f7bp-18 -0x1.63180ff2b1e02p-19 0x1.64755bc3a5a90p-20 -0x1.3b05dc3d5be6ap-21 "
        "0x1.3271299977a10p-22 -0x1.0f79347068b28p-22 0x1.21ffa63f2d11fp-23 0x1.87f867e7e7f35p-25 "
        "-0x1.f7b34baff619dp-26 -0x1.1ed8aee3f9f9dp-24 0x1.3ab1a81551569p-25 0x1.62daae379bc83p-26 "
        "-0x1.83dc8d4b7099fp-27 -0x1.79270ee212ea0p-28 0x1.8ac1eeaba85eep-29"
    ),
    ("psi_far", 64): _numbers(   # error 2^-66.0
        "0x1.5555555555544p-4 -0x1.11111110deea5p-7 0x1.0410403527c42p-8 -0x1.111042a7e2aebp-8 "
        "0x1.f00c09e99efe9p-8 -0x1.5107be35f2e28p-6 0x1.f56a6827c6816p-5"
    ),
    ("trigamma_far", 64): _numbers(   # error 2^-60.8
        "0x1.55555555554f4p-3 -0x1.111111107429fp-5 0x1.86185ed60cebep-6 -0x1.110fa9e63bd7ep-5 "
        "0x1.35e8753c01a19p-4 -0x1.f6740601a600ap-3 0x1.a767ef06cdc7ep-1"
    ),
}

CONSTANTS: dict[tuple[str, int], tuple[float, ...]] = {   # each an unevaluated sum
    ("ln2", 64): _numbers("0x1.62e42fefa39efp-1 0x1.abc9e3b39803fp-56"),
    ("ln2", 32): _numbers("0x1.62e4300000000p-1 -0x1.05c6100000000p-29"),
    ("ln2_short", 64): _numbers("0x1.62e42fef00000p-1 0x1.473de6af278edp-34"),
    ("ln2_short", 32): _numbers("0x1.62e4000000000p-1 0x1.7f7d1c0000000p-20"),
    ("lg2_short", 64): _numbers("0x1.3441350900000p-2 0x1.ef3fde623e256p-35"),
    ("lg2_short", 32): _numbers("0x1.3440000000000p-2 0x1.3509f80000000p-18"),
    ("1/ln2", 64): _numbers("0x1.71547652b82fep+0 0x1.777d0ffda0d24p-56"),
    ("1/ln2", 32): _numbers("0x1.7154760000000p+0 0x1.4ae0c00000000p-26"),
    ("1/ln10", 64): _numbers("0x1.bcb7b1526e50ep-2 0x1.95355baaafad3p-57"),
    ("1/ln10", 32): _numbers("0x1.bcb7b20000000p-2 -0x1.5b235e0000000p-27"),
    ("pi", 64): _numbers("0x1.921fb54442d18p+1 0x1.1a62633145c07p-53 -0x1.f1976b7ed8fbcp-109"),
    ("pi", 32): _numbers("0x1.921fb60000000p+1 -0x1.777a5c0000000p-24 -0x1.ee59da0000000p-49"),
    ("pi/2", 64): _numbers("0x1.921fb54442d18p+0 0x1.1a62633145c07p-54 -0x1.f1976b7ed8fbcp-110"),
    ("pi/2", 32): _numbers("0x1.921fb60000000p+0 -0x1.777a5c0000000p-25 -0x1.ee59da0000000p-50"),
    ("digamma_zero", 64): _numbers("0x1.762d86356be3fp+0 0x1.b86a722197829p-54"),
    ("digamma_zero", 32): _numbers("0x1.762d860000000p+0 0x1.ab5f200000000p-27"),
    ("loggamma_least", 64): _numbers("-0x1.f19b9bcc38a42p-4 0x1.f095c88d5a6c1p-59"),
    ("loggamma_least", 32): _numbers("-0x1.f19b9c0000000p-4 0x1.9e3ae00000000p-31"),
    ("log(2pi)/2", 64): _numbers("0x1.d67f1c864beb5p-1 -0x1.65b5a1b7ff5dfp-55"),
    ("log(2pi)/2", 32): _numbers("0x1.d67f1c0000000p-1 0x1.0c97d60000000p-26"),
}

INVERSE_PI: tuple[int, ...] = (   # 64 zero bits, then the bits of 1/π, the highest first
    0x0000000000000000, 0x517CC1B727220A94, 0xFE13ABE8FA9A6EE0, 0x6DB14ACC9E21C820,
    0xFF28B1D5EF5DE2B0, 0xDB92371D2126E970, 0x0324977504E8C90E, 0x7F0EF58E5894D39F,
    0x74411AFA975DA242, 0x74CE38135A2FBF20, 0x9CC8EB1CC1A99CFA, 0x4E422FC5DEFC941D,
    0x8FFC4BFFEF02CC07, 0xF79788C5AD05368F, 0xB69B3F6793E584DB, 0xA7A31FB34F2FF516,
    0xBA93DD63F5F2F8BD, 0x9E839CFBC5294975, 0x35FDAFD88FC6AE84, 0x2B0198237E3DB5D5,
    0xF867DE104D7A1B0E, 0xD4F1C8B0AF730D84, 0x32CCC2AF8A503420, 0x46FFEC4026B99398,
)
# fmt: on
