//! The schemas of responses about a cluster and its settings.

use super::responses::{I8, I16, I32, I64, UUID, always, plain, since};
use super::{ApiRequest, FieldType, StructSchema, WireSchema};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, CreateTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    DescribeQuorumRequest, DescribeQuorumResponse,
};

impl ApiRequest for DescribeConfigsRequest {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    type Response = DescribeConfigsResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 4,
        body: StructSchema {
            fields: &[
                always(I32),
                always(FieldType::Array(&plain(&[
                    always(I16),
                    always(FieldType::Text),
                    always(I8),
                    always(FieldType::Text),
                    always(FieldType::Array(&plain(&[
                        always(FieldType::Text),
                        always(FieldType::Text),
                        always(I8),
                        always(I8),
                        always(I8),
                        always(FieldType::Array(&plain(&[
                            always(FieldType::Text),
                            always(FieldType::Text),
                            always(I8),
                        ]))),
                        since(3, I8),
                        since(3, FieldType::Text),
                    ]))),
                ]))),
            ],
            tags: &[],
        },
    };

    fn throttle_ms(response: &Self::Response) -> i32 {
        response.throttle_time_ms
    }
}

impl ApiRequest for CreateTopicsRequest {
    const KEY: ApiKey = ApiKey::CreateTopics;
    type Response = CreateTopicsResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 5,
        body: StructSchema {
            fields: &[
                since(2, I32),
                always(FieldType::Array(&FieldType::Struct(StructSchema {
                    fields: &[
                        always(FieldType::Text),
                        since(7, UUID),
                        always(I16),
                        since(1, FieldType::Text),
                        since(5, I32),
                        since(5, I16),
                        since(
                            5,
                            FieldType::Array(&plain(&[
                                always(FieldType::Text),
                                always(FieldType::Text),
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

const REPLICAS: FieldType =
    FieldType::Array(&plain(&[always(I32), since(2, UUID), always(I64), since(1, I64), since(1, I64)]));

impl ApiRequest for DescribeQuorumRequest {
    const KEY: ApiKey = ApiKey::DescribeQuorum;
    type Response = DescribeQuorumResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 0,
        body: StructSchema {
            fields: &[
                always(I16),
                since(2, FieldType::Text),
                always(FieldType::Array(&plain(&[
                    always(FieldType::Text),
                    always(FieldType::Array(&plain(&[
                        always(I32),
                        always(I16),
                        since(2, FieldType::Text),
                        always(I32),
                        always(I32),
                        always(I64),
                        always(REPLICAS),
                        always(REPLICAS),
                    ]))),
                ]))),
                since(
                    2,
                    FieldType::Array(&plain(&[
                        always(I32),
                        always(FieldType::Array(&plain(&[
                            always(FieldType::Text),
                            always(FieldType::Text),
                            always(I16),
                        ]))),
                    ])),
                ),
            ],
            tags: &[],
        },
    };
}
