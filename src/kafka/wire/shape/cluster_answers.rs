//! Answers about a cluster and its settings.

use super::answers::{I8, I16, I32, I64, UUID, always, plain, since};
use super::{Call, Kind, Shape, Struct};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, CreateTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    DescribeQuorumRequest, DescribeQuorumResponse,
};

impl Call for DescribeConfigsRequest {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    type Answer = DescribeConfigsResponse;
    const SHAPE: Shape = Shape {
        flexible: 4,
        body: Struct {
            fields: &[
                always(I32),
                always(Kind::Array(&plain(&[
                    always(I16),
                    always(Kind::Text),
                    always(I8),
                    always(Kind::Text),
                    always(Kind::Array(&plain(&[
                        always(Kind::Text),
                        always(Kind::Text),
                        always(I8),
                        always(I8),
                        always(I8),
                        always(Kind::Array(&plain(&[always(Kind::Text), always(Kind::Text), always(I8)]))),
                        since(3, I8),
                        since(3, Kind::Text),
                    ]))),
                ]))),
            ],
            tags: &[],
        },
    };
}

impl Call for CreateTopicsRequest {
    const KEY: ApiKey = ApiKey::CreateTopics;
    type Answer = CreateTopicsResponse;
    const SHAPE: Shape = Shape {
        flexible: 5,
        body: Struct {
            fields: &[
                since(2, I32),
                always(Kind::Array(&Kind::Struct(Struct {
                    fields: &[
                        always(Kind::Text),
                        since(7, UUID),
                        always(I16),
                        since(1, Kind::Text),
                        since(5, I32),
                        since(5, I16),
                        since(
                            5,
                            Kind::Array(&plain(&[
                                always(Kind::Text),
                                always(Kind::Text),
                                always(I8),
                                always(I8),
                                always(I8),
                            ])),
                        ),
                    ],
                    tags: &[(0, I16)],
                }))),
            ],
            tags: &[],
        },
    };
}

const REPLICAS: Kind = Kind::Array(&plain(&[always(I32), since(2, UUID), always(I64), since(1, I64), since(1, I64)]));

impl Call for DescribeQuorumRequest {
    const KEY: ApiKey = ApiKey::DescribeQuorum;
    type Answer = DescribeQuorumResponse;
    const SHAPE: Shape = Shape {
        flexible: 0,
        body: Struct {
            fields: &[
                always(I16),
                since(2, Kind::Text),
                always(Kind::Array(&plain(&[
                    always(Kind::Text),
                    always(Kind::Array(&plain(&[
                        always(I32),
                        always(I16),
                        since(2, Kind::Text),
                        always(I32),
                        always(I32),
                        always(I64),
                        always(REPLICAS),
                        always(REPLICAS),
                    ]))),
                ]))),
                since(
                    2,
                    Kind::Array(&plain(&[
                        always(I32),
                        always(Kind::Array(&plain(&[always(Kind::Text), always(Kind::Text), always(I16)]))),
                    ])),
                ),
            ],
            tags: &[],
        },
    };
}
